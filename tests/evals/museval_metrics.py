"""What museval's own test suite expects of random estimates of its 7 s sample.

Facts from sigsep/sigsep-mus-eval, tests/data/Music Delta - 80s Rock.json (museval 0.3.0; MIT): six
frames each of vocals and accompaniment, estimates from numpy's legacy generator with seed 0.
"""

EXPECTED = {
    "vocals": {
        "SDR": [-16.89156, -15.90668, -12.74888, -14.10039, -15.33723, -16.37514],
        "SIR": [9.75952, 9.06763, 6.47532, 3.52292, 9.26284, 9.36795],
        "SAR": [-3.94092, -3.28736, -7.01513, -13.64068, -8.47172, -7.63887],
        "ISR": [-14.67801, -14.73029, -6.46934, -2.42318, -7.57783, -9.37330],
    },
    "accompaniment": {
        "SDR": [-13.29782, -12.55332, -13.42369, -14.13454, -12.84300, -13.28168],
        "SIR": [-25.90516, -24.83962, -16.37932, -6.82760, -14.57014, -21.15102],
        "SAR": [-4.06010, -3.36142, -7.10641, -13.70428, -8.63040, -7.74802],
        "ISR": [-0.14012, -0.22987, -0.48281, -0.76336, -0.41445, -0.12459],
    },
}
