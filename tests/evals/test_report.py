import pytest

from separate.errors import DataError
from separate.evals.report.tables import (
    TABLES,
    card_scores,
    clips_table,
    memory_table,
    mir1k_table,
    musdb_table,
    queries_table,
    songs_table,
    speed_table,
    start_table,
    stems_table,
    tables_of,
    understanding_table,
    write_tables,
)
from separate.evals.tasks.results import summarise


def result(name="m", sdr=7.0, **fields):
    songs = [
        {"song": "A|B", "split": "v", "seen": None, "stems": {"vocals": {"sdr": sdr}}},
        {"song": "C", "split": "v", "seen": True, "stems": {"vocals": {"sdr": 99.0}}},
    ]
    return {
        "kind": "stems",
        "dataset": "songs",
        "split": "valid",
        "method": {"kind": "model", "name": name, "sha256": "12", "bins": None},
        "mask_rule": "sum-to-mix: masks sum to 1",
        "metric": "SDR",
        "stems": ["vocals"],
        "summary": summarise(songs, ["vocals"]),
        "failed": [{"song": "D", "error": "broken"}],
        "songs": songs,
        **fields,
    }


BENCH = {
    "kind": "bench",
    "machine": {"cpu": "CPU", "threads": 2, "torch": "2"},
    "audio": {"seconds": 180.0, "sample_rate": 44100},
    "runs": 3,
    "mask_rule": "sum-to-mix",
    "speed": [
        {"name": "default", "package": "", "weights": "trained", "queries": 4}
        | {"times_real_time": 30.04, "median_seconds": 6.0},
        {"name": "hdemucs_high", "package": "torchaudio 2.11.0", "weights": "random", "queries": 4}
        | {"times_real_time": 1.5, "median_seconds": 120.0},
    ],
    "ratios": [{"name": "default", "queries": 4, "to": "hdemucs_high", "times": 20.0}],
    "start": [{"what": "separate --help", "median_seconds": 0.31, "peak_bytes": 50e6}],
    "memory": [{"name": "default", "how": "run", "minutes": 180.0, "peak_bytes": 1.1e9}],
}


def test_stems_table():
    table = stems_table([result(), result("n", 6.25)])
    assert table.header == ("method", "vocals", "mean", "songs", "mask rule")
    assert table.rows[0] == ("m", "7.0", "7.0", "1", "sum-to-mix")
    assert "2 song(s) that a model was trained on are left out" in table.note


def test_songs_table_marks_seen_and_failed():
    rows = songs_table(result()).rows
    assert rows[1] == ("C (seen in training)", "99.00") and rows[2] == ("D: broken", "-")


def test_tables_name_methods_with_unknown_training_data():
    files = result("files of a tool")
    assert "The training data of files of a tool is unknown." in stems_table([files]).note
    files["songs"][0]["seen"] = False
    assert "unknown" not in stems_table([files]).note


def test_different_metrics_do_not_share_a_table():
    with pytest.raises(DataError, match="differ in metric"):
        stems_table([result(), result(metric="SI-SDR")])


def test_bench_tables():
    table = speed_table([BENCH])
    assert table.rows[0] == ("default", "trained", "4", "30.0", "6.0", "-")
    assert table.rows[1][-1] == "20.0 x" and table.header[-1] == "default is faster by"
    assert start_table([BENCH]).rows == (("separate --help", "0.31", "50 MB"),)
    assert memory_table([BENCH]).rows == (("default", "run", "180 min", "1100 MB"),)


def test_tables_are_written_between_markers_only(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(
        "# T\n<!-- table:stems-songs -->\nold 1\n<!-- /table -->\nmiddle\n"
        "<!-- table:bench -->\nkept\n<!-- /table -->\nend\n"
    )
    assert write_tables(page, [result()]) == ["stems-songs"]
    text = page.read_text()
    assert "| A\\|B | 7.00 |" in text and "old 1" not in text
    assert "<!-- table:bench -->\nkept\n<!-- /table -->\nend\n" in text
    assert write_tables(page, [result()]) == ["stems-songs"] and page.read_text() == text


def test_files_without_a_place_for_tables(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("nothing")
    with pytest.raises(DataError, match="no markers"):
        write_tables(page, [result()])
    page.write_text("<!-- table:nonsense -->\n<!-- /table -->")
    with pytest.raises(DataError, match="unknown table"):
        write_tables(page, [result()])


def test_card_says_how_many_mixtures_each_label_was_scored_on():
    clips = {
        **result(),
        "kind": "clips",
        "dataset": "clips",
        "split": "held-out",
        "by": "text",
        "classes": {"dog_bark": {"mixtures": 4, "sdr_improvement": 3.2}},
        "summary": {"mean": {"sdr_improvement": {"mean": 2.8, "songs": 26}}},
    }
    found = card_scores([clips], "12")["clips held-out by text"]
    assert found["sdr_improvement"] == {"mean": 2.8, "dog_bark": 3.2}
    assert found["count"] == {"mean": 26, "dog_bark": 4}


def test_card_says_of_stems_by_label_how_good_they_are_beside_what_they_gain():
    entry = {"sdr": {"mean": 0.5, "songs": 2}, "sdr_improvement": {"mean": 20.0, "songs": 2}}
    labels = {**result(), "kind": "labels", "summary": {"shaker": entry}}
    (found,) = card_scores([labels], "12").values()
    assert found["sdr_improvement"] == {"shaker": 20.0} and found["label_sdr"] == {"shaker": 0.5}


def test_card_takes_only_results_of_its_own_weights():
    assert card_scores([result()], "12")["stems songs valid"]["sdr"]["vocals"] == 7.0
    with pytest.raises(DataError, match="evaluate them anew"):
        card_scores([result()], "13")


def musdb_result(split="test", seconds=200.0, seen=False):
    entry = {"SDR": 5.0, "SIR": 9.0, "SAR": 4.0, "ISR": 8.0, "usdr": 5.5}
    songs = [
        {"song": name, "split": split, "seconds": seconds, "seen": seen and name == "B"}
        | {"stems": {"vocals": {**entry, "SDR": sdr}}}
        for name, sdr in (("A", 4.0), ("B", 9.0), ("C", 5.0))
    ]
    metrics = ("SDR", "SIR", "SAR", "ISR", "usdr")
    return result(
        kind="musdb",
        dataset="MUSDB18",
        split=split,
        songs=songs,
        summary=summarise(songs, ["vocals"], metrics),
        nan_frames=3,
        silent={"C": ["bass"]},
        failed=[],
    )


def test_musdb_table_has_medians_with_the_mean_beside_and_says_what_is_left_out():
    table = musdb_table([musdb_result()])
    assert table.rows[0][:2] == ("m: vocals", "5.00") and table.rows[0][5].startswith("6.00")
    assert "3 frame(s)" in table.note and "C: bass silent throughout" in table.note
    marked = musdb_table([musdb_result(seen=True)])
    assert marked.rows[0][1] == "4.50" and "1 track(s)" in marked.note


@pytest.mark.parametrize(("split", "seconds"), [("train", 200.0), ("test", 7.0)])
def test_no_musdb_score_is_published_from_excerpts_or_the_train_subset(tmp_path, split, seconds):
    page = tmp_path / "README.md"
    page.write_text("<!-- table:musdb -->\n<!-- /table -->\n")
    assert write_tables(page, [musdb_result()]) == ["musdb"]
    with pytest.raises(DataError, match="whole tracks"):
        write_tables(page, [musdb_result(split, seconds)])
    with pytest.raises(DataError, match="whole tracks"):
        card_scores([musdb_result(split, seconds)], "12")


def test_every_published_score_has_its_metric_and_source():
    rows = TABLES["published"]([]).rows
    assert TABLES["peers"]([]).rows == rows  # the marker's name in files of before
    assert rows and all(all(cell for cell in row) for row in rows)


def test_clips_mir1k_and_queries_tables():
    mean = {"mean": 6.0, "low": 5.0, "high": 7.0, "songs": 2}
    clips = result(
        kind="clips",
        by="text",
        songs=[],
        classes={"flute": {"mixtures": 3, "sdr_improvement": 6.0, "si_sdr_improvement": 5.0}},
        summary={"mean": {"sdr_improvement": mean, "si_sdr_improvement": mean}},
    )
    assert clips_table([clips]).rows[0][:3] == ("m", "text", "6.00 (5.00 to 7.00)")
    assert tables_of(clips)[0].rows == (("flute", "3", "6.00", "5.00"),)
    voice = {f"g{m}": mean for m in ("nsdr", "sir", "sar", "sdr")}
    mir = result(kind="mir1k", summary={"vocals": voice})
    assert mir1k_table([mir]).rows == (("m: vocals", "6.00", "6.00", "6.00", "6.00", "2"),)
    entry = {"label_sdr": mean, "synonym_cost": mean, "paraphrase_cost": mean}
    asked = result(
        kind="queries",
        summary={"vocals": {**entry, "phrases": {"singer": 0.1, "rap": 0.4}}},
        presence={"auc": 0.9, "present": 4, "absent": 8},
        reading={"negation": {"phrases": 4, "right": 3, "wrong": ["x"]}},
        phrases={
            "open": {"auc": 0.95, "present": 4, "absent": 8, "missed": 0.25, "wrongly_found": 0.0},
            "locked": {"auc": None, "present": 0, "absent": 0},
        },
    )
    rows = understanding_table([asked]).rows
    assert rows[1] == ("paraphrases cost, mean of stems", "6.00 dB", "1")
    assert rows[2] == ("negation read right", "75 %", "4")
    assert rows[3:] == (
        ("presence, open phrases: ROC AUC", "0.950", "12"),
        ("presence, open: present, not found", "25.0 %", "4"),
        ("presence, open: absent, found", "0.0 %", "8"),
    )
    table = queries_table([asked])
    assert table.rows[0][-1] == "rap: 0.40" and "ROC AUC 0.900" in table.note
