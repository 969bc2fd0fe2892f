"""Pickles from outside: what detectors write is read, everything else is refused and nothing is run."""

import pickle
from collections import OrderedDict

import numpy as np
import pytest

from deft_env.video import unpickle


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("dtype", ["f4", ">f8", "i8", "u1", "?", "f2", "S3"])
def test_arrays_of_every_protocol(protocol, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    for value in (array, np.asfortranarray(array), array[:0], array.flat[0]):
        got = unpickle.loads(pickle.dumps({"a": value}, protocol=protocol))["a"]
        assert np.array_equal(got, value)
        assert np.asarray(got).dtype.newbyteorder("=") == np.asarray(value).dtype.newbyteorder("=")


def test_a_numpy_1_module_name_is_read():
    data = pickle.dumps(np.arange(3.0), protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert np.array_equal(unpickle.loads(data), [0, 1, 2])


def test_ordered_dictionaries_of_results():
    value = OrderedDict(demo_type="hand", pred_output_list=[None, {"right_hand": {"pred_hand_pose": np.ones((1, 48))}}])
    assert unpickle.loads(pickle.dumps(value))["pred_output_list"][1]["right_hand"]["pred_hand_pose"].shape == (1, 48)


class Run:
    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "builtins.getattr", "functools.partial", "numpy.load"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_refused_and_not_run(name, protocol, tmp_path):
    module, attribute = name.split(".")
    marker = tmp_path / "ran"
    function = getattr(__import__(module), attribute)
    data = pickle.dumps([np.zeros(2), Run((function, (f"open({str(marker)!r}, 'w')",)))], protocol=protocol)
    with pytest.raises(unpickle.RefusedPickleError, match=r"refused to load"):
        unpickle.loads(data)
    assert not marker.exists()


def test_arrays_of_objects_and_forged_arrays_are_refused():
    with pytest.raises(unpickle.RefusedPickleError, match="plain numbers"):
        unpickle.loads(pickle.dumps(np.array([{}, None], dtype=object)))
    honest = pickle.dumps(np.zeros(4, "f8"), protocol=2)
    for forged in (honest.replace(b"K\x04\x85", b"K\x7f\x85"), honest.replace(b"f8", b"O8")):
        assert forged != honest
        with pytest.raises(ValueError):  # more elements than bytes; a type of object pointers
            unpickle.loads(forged)


def test_every_truncation_is_a_clear_error():
    whole = pickle.dumps(OrderedDict(a=np.arange(5.0), b=[{"c": 1}]))
    for n in range(len(whole)):
        with pytest.raises(ValueError):
            unpickle.loads(whole[:n])


def test_no_class_at_all_for_lists_of_bytes():
    assert unpickle.loads(pickle.dumps([b"ab", b""], protocol=4), unpickle.NOTHING) == [b"ab", b""]
    with pytest.raises(unpickle.RefusedPickleError):
        unpickle.loads(pickle.dumps([np.zeros(1)]), unpickle.NOTHING)


def test_size_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(unpickle, "MAX_BYTES", 10)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(list(range(100))))
    with pytest.raises(ValueError, match="at most"):
        unpickle.load(tmp_path / "x.pkl")
