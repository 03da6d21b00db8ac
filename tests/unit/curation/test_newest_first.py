from videogen.curation.listing import newest_first


def test_of_snapshots_written_within_a_second_the_current_one_is_the_newest():
    made = {"a": 7.0, "b": 7.0, "c": 6.0, "d": 8.0}
    assert newest_first(made, {"b"}) == ["d", "b", "a", "c"]
    assert newest_first(made, {"a"}) == ["d", "a", "b", "c"]
