"""Automatic separation: the tree that is walked, the gates, the files, and a run of it all."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from separate import Settings, example_path, read_audio
from separate.auto.files import TREE_NAME, layout
from separate.auto.gate import Gate
from separate.auto.run import AutoJob
from separate.auto.tagging import TagLikelihoods
from separate.auto.tree import AutoOptions, limited, merged, pruned, sounding_nodes, tops
from separate.batch.record import RecordFile
from separate.batch.run import BatchOptions, run_batch
from separate.batch.tracks import Track
from separate.cli.main import app
from separate.errors import SettingsError
from separate.queries import ontology
from separate.queries.tags import class_row

SCENE = {  # class: likelihood in each of four blocks
    "Music": [0.8, 0.8, 0.1, 0.1],
    "Guitar": [0.6, 0.5, 0.0, 0.0],
    "Electric guitar": [0.5, 0.4, 0.0, 0.0],
    "Piano": [0.0, 0.4, 0.0, 0.0],
    "Dog": [0.0, 0.0, 0.7, 0.9],
    "Speech": [0.0, 0.0, 0.1, 0.15],
    "Pop music": [0.7, 0.7, 0.0, 0.0],
}


def scene() -> TagLikelihoods:
    table = np.zeros((4, 527), np.float32)
    for name, values in SCENE.items():
        table[:, class_row(name)] = values
    return TagLikelihoods(table, 0.0, 8.0)


def tree(**options):
    return limited(sounding_nodes(scene(), AutoOptions(**options)), options.get("most", 12))


def test_the_ontology_has_levels_and_rows():
    levels = ontology.levels()
    assert [list(levels.values()).count(level) for level in range(1, 7)] == [7, 43, 305, 223, 50, 4]
    assert levels["Music"] == 1 and levels["Electric guitar"] == 5
    rows = ontology.rows_below()
    assert class_row("Electric guitar") in rows["Guitar"] and class_row("Dog") not in rows["Guitar"]
    assert set(rows["Guitar"]) < set(rows["Music"])
    assert not ontology.is_source("Pop music") and ontology.is_source("Guitar")


def test_nodes_are_as_likely_as_the_likeliest_below_and_sound_when_it_does():
    nodes = {node.name: node for node in sounding_nodes(scene(), AutoOptions(levels=(1, 3, 4)))}
    assert nodes["Music"].likelihood == pytest.approx(0.8)
    assert nodes["Guitar"].parent == "Plucked string instrument"
    assert nodes["Guitar"].classes == ("Guitar", "Electric guitar")
    assert nodes["Guitar"].active.tolist() == [True, True, False, False]
    assert nodes["Piano"].active.tolist() == [False, True, False, False]
    assert nodes["Animal"].query.text == ("dog",)
    assert "Human sounds" not in nodes and "Speech" not in nodes


def test_of_a_single_child_only_the_child_is_written():
    written = {node.name for node in tree(levels=(1, 2, 3)) if node.is_written}
    assert written == {
        "Plucked string instrument",
        "Keyboard (musical)",
        "Dog",
        "Musical instrument",
    }
    assert tops(tree(levels=(1, 2, 3))) == ["Musical instrument", "Dog"]


def test_no_more_than_the_most_and_the_likeliest_of_them():
    for most in (1, 2, 3):
        nodes = limited(sounding_nodes(scene(), AutoOptions(levels=(1, 2, 3, 4, 5))), most)
        assert 0 < sum(node.is_written for node in nodes) <= most
    assert {node.name for node in nodes} >= {"Animal", "Music"}


def test_siblings_that_are_alike_become_one_with_all_their_children():
    nodes = sounding_nodes(scene(), AutoOptions(levels=(2, 3, 4)))
    pair = ("Plucked string instrument", "Keyboard (musical)")
    result = merged(nodes, {pair: 0.95, ("Musical instrument", "Dog"): 0.99}, 0.9)
    names = [node.name for node in result]
    assert " + ".join(pair) in names and not set(pair) & set(names)
    joined = result[names.index(" + ".join(pair))]
    assert joined.merged == pair and joined.active.tolist() == [True, True, False, False]
    assert result[names.index("Guitar")].parent == joined.name
    assert [node.parent for node in result if node.name == "Dog"]  # no sibling: stays as it is
    assert {n.name for n in merged(nodes, {pair: 0.5}, 0.9)} == {n.name for n in nodes}


def test_what_is_absent_goes_with_all_below_it():
    nodes = tree(levels=(1, 2, 3, 4))
    left = pruned(nodes, {"Plucked string instrument"})
    names = {node.name for node in left}
    assert "Guitar" not in names and "Plucked string instrument" not in names
    assert [n.name for n in left if n.is_written and n.parent != "Animal"]
    everything = {node.name for node in nodes if node.is_written}
    assert pruned(nodes, everything) == []


def test_gates_open_around_what_sounds_and_never_jump():
    gate = Gate(np.array([0, 0, 0, 1, 0, 0, 0], bool), 2.0)
    gains = gate.gains(0, 1400, 100)
    assert gains[:390].max() == 0 and gains[400:990].min() == 1 and gains[1001:].max() == 0
    assert np.abs(np.diff(gains)).max() <= 0.21
    np.testing.assert_allclose(np.concatenate([gate.gains(0, 450, 100), gate.gains(450, 950, 100)]),
                               gains)  # fmt: skip
    assert Gate(np.array([1, 1], bool), 2.0).gains(10**9, 5, 8000).min() == 1


def test_places_are_safe_and_differ():
    nodes = tree(levels=(1, 2, 3))
    places = layout(Track(Path("x.wav"), "x"), nodes, Settings(format="flac"))
    assert places["Dog"] == "x/Animal/Domestic animals, pets/Dog.flac"
    assert places["residual"] == "x/residual.flac" and places[TREE_NAME] == "x/sources.json"
    assert "Animal" not in places  # a folder alone
    assert len({place.casefold() for place in places.values()}) == len(places)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Six seconds of the example."""
    out = tmp_path_factory.mktemp("auto")
    settings = Settings(end=6.0, threads=1, subtype="FLOAT")
    options = AutoOptions(levels=(1, 2, 3, 4), threshold=0.1, most=5)
    return out, settings, options, run_batch([example_path()], AutoJob(settings, options, out))


def test_a_run_writes_the_tree_and_tells_of_it(result):
    out, _, _, batch = result
    (record,) = batch.records
    assert record.error is None and record.command == "auto"
    described = json.loads((out / "demo" / TREE_NAME).read_text())
    assert "CC BY-SA 4.0" in described["notice"] and described["seconds"] == pytest.approx(6.0)
    files = {s["file"] for s in described["sources"] if s["file"]} | {described["residual"]}
    found = {p.relative_to(out / "demo").as_posix() for p in (out / "demo").rglob("*.wav")}
    assert files == found and 2 <= len(found) <= 6
    assert {o.path for o in record.outputs} == {f"demo/{n}" for n in (*found, TREE_NAME)}
    for source in described["sources"]:
        assert source["likelihood"] >= 0.1 and source["spans"]
        assert all(0 <= a < b <= 6.0 for a, b in source["spans"])
        assert source["parent"] in (None, *(s["name"] for s in described["sources"]))


def test_the_top_of_the_tree_and_the_residual_sum_to_the_mixture(result):
    out, *_ = result
    described = json.loads((out / "demo" / TREE_NAME).read_text())
    table = {source["name"]: source for source in described["sources"]}

    def covered(source):
        above = table.get(source["parent"])
        return above is not None and (above["file"] is not None or covered(above))

    top = [s["file"] for s in described["sources"] if s["file"] and not covered(s)]
    total = sum(read_audio(out / "demo" / name)[0] for name in [*top, described["residual"]])
    mixture = read_audio(example_path())[0][:, : total.shape[1]]
    np.testing.assert_allclose(total, mixture, atol=1e-4)


def test_resume_skips_what_is_there_and_other_options_do_not(result):
    out, settings, options, _ = result
    again = run_batch([example_path()], AutoJob(settings, options, out), BatchOptions(resume=True))
    assert again.skipped == 1
    (out / "demo" / TREE_NAME).unlink()
    more = run_batch([example_path()], AutoJob(settings, options, out), BatchOptions(resume=True))
    assert more.skipped == 0 and (out / "demo" / TREE_NAME).is_file()


def test_silence_leaves_the_residual_alone_and_a_bad_file_stops_no_other(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(20_000), 16_000)
    (tmp_path / "b.wav").write_text("no sound")
    out = tmp_path / "out"
    inputs = [tmp_path / "b.wav", tmp_path / "a.wav"]
    batch = run_batch(inputs, AutoJob(Settings(threads=1), AutoOptions(), out))
    assert [bool(record.error) for record in batch.records] == [True, False]
    assert json.loads((out / "a" / TREE_NAME).read_text())["sources"] == []
    assert read_audio(out / "a" / "residual.wav")[0].shape == (1, 20_000)
    assert len(list(RecordFile(out))) == 2


@pytest.mark.parametrize(
    "options", [{"levels": ()}, {"levels": (0,)}, {"threshold": 0}, {"most": 0}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(SettingsError):
        AutoOptions(**options)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--auto", "-q", "drums"],
        ["--levels", "1,2"],
        ["--auto", "--levels", "all"],
        ["--auto", "--tagger", "nonsense"],
    ],
)
def test_bad_commands_are_one_line(tmp_path, arguments):
    asked = ["run", str(example_path()), "-o", str(tmp_path), *arguments]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 1 and result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
