"""What is in a store is what was computed, whatever happened to it; and only what is missing is computed."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import jaxmech as jm
from cheap_sweeps import MARKET, cheap_kernel, small_design
from jaxmech.reports.sweep import _Tally, sweep_summary
from jaxmech.sweep import make_design, open_sweep, repair, run, store, stored_sweep, to_dataset, verify
from jaxmech.sweep.description import spec_hash
from jaxmech.sweep.view import loaded_dataset

CHUNKS = 6


def files_of(path):
    """Bytes of the data by file; records hold process numbers and seconds."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.suffix != ".json" and file.name != "lock"
    }


@pytest.fixture
def whole(monkeypatch, tmp_path):
    """A finished store, the kernel's calls, and the bytes it had."""
    calls = cheap_kernel(monkeypatch)
    done = stored_sweep(tmp_path / "s.zarr", small_design(), size=64)
    assert (done.computed, done.failed, done.interrupted) == (CHUNKS, {}, False)
    assert verify(done.store.path) == []
    calls.clear()
    return done.store.path, calls, files_of(done.store.path)


@pytest.mark.parametrize(
    "design",
    [
        small_design(),
        make_design(MARKET, [0.5], {}),
        make_design(MARKET, [0.5, 0.7], {"fund.risk_capacity": [-1.0, 0.0]}),
        make_design(MARKET, jm.Range(0, 1), {"fund.risk_capacity": jm.Range(1, 2)}, "random", points=37, seed=4),
        make_design(MARKET, [0.5, 0.6, np.nextafter(0.6, 1)], {"fund.risk_capacity": [1.0, np.nan, 2.0]}, "zip"),
    ],
    ids=["grid", "one point", "no market", "random", "zip"],
)
def test_a_store_reads_as_the_same_sweep_in_memory(monkeypatch, tmp_path, design):
    cheap_kernel(monkeypatch)
    design = replace(design, chunk_shape=(2, 3))
    store = stored_sweep(tmp_path / "s.zarr", design, size=64).store
    found = open_sweep(tmp_path / "s.zarr").load()
    xr.testing.assert_equal(found, to_dataset(design, *run(design, size=64)))
    xr.testing.assert_identical(found, loaded_dataset(store))


@pytest.mark.parametrize(
    "places",
    [
        {"alpha": 3},
        {"alpha": [6, 1], "fund.risk_capacity": slice(None, None, -2)},
        {"all.count.factor": 1, "group": 0},
        {"alpha": slice(2, 7), "fund.risk_capacity": [4, 0, 3], "group": [1, 0]},
        {"alpha": slice(3, 3)},
    ],
)
def test_parts_of_a_store_read_as_parts_of_the_whole(whole, places):
    data = open_sweep(whole[0])
    xr.testing.assert_equal(data.isel(places).load(), open_sweep(whole[0]).load().isel(places))


def test_a_finished_sweep_makes_no_kernel_call(whole):
    path, calls, _ = whole
    for resume in (False, True):
        assert stored_sweep(path, small_design(), size=64, resume=resume).computed == 0
    assert calls == []


def test_an_interrupted_sweep_goes_on_with_what_is_missing(monkeypatch, tmp_path, whole):
    def interrupt(call):
        if call == 4:
            raise KeyboardInterrupt

    path = tmp_path / "cut.zarr"
    cheap_kernel(monkeypatch, interrupt)
    done = stored_sweep(path, small_design(), size=64)
    assert done.interrupted and done.computed == 3 and done.store.computed() == [0, 1, 2]
    assert [damage.reason for damage in verify(path)] == ["not computed"] * 3
    data = open_sweep(path)
    assert data.attrs["interrupted"] == 1
    assert np.isnan(data.revenue.values[data.status.values == -1]).all()
    assert (data.status.values == -1).sum() == 80 - (5 * 4 + 5 * 4 + 5 * 2)
    xr.testing.assert_identical(open_sweep(path).load(), loaded_dataset(done.store))
    with pytest.raises(jm.MarketError, match=r"holds 3 of 6 chunks of this sweep; add --resume .* or --overwrite"):
        stored_sweep(path, small_design(), size=64)
    calls = cheap_kernel(monkeypatch)
    assert stored_sweep(path, small_design(), size=64, resume=True).computed == len(calls) == 3
    assert files_of(path) == whole[2]
    assert (data.status.values >= 0).all()  # a Dataset opened before sees what was computed since


def flip(file):
    """One bit of a file, in its middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES = {
    "values cut": ("values/c/0/1/0", cut, "truncated or changed"),
    "values flipped": ("values/c/0/1/0", flip, "truncated or changed"),
    "values emptied": ("values/c/0/1/0", lambda file: file.write_bytes(b""), "truncated or changed"),
    "values of noise": ("values/c/0/1/0", lambda file: file.write_bytes(b"no" * 1302), "truncated or changed"),
    "status emptied": ("status/c/1/0", lambda file: file.write_bytes(b""), "truncated or changed"),
    "values deleted": ("values/c/0/1/0", os.remove, "file of its values is missing"),
    "status flipped": ("status/c/1/0", flip, "truncated or changed"),
    "status deleted": ("status/c/1/0", os.remove, "file of its status is missing"),
    "record cut": ("manifest/000003.json", cut, "manifest record is cut"),
    "record flipped": ("manifest/000003.json", flip, "manifest record is cut or damaged"),
    "record emptied": ("manifest/000003.json", lambda file: file.write_text("[]"), "manifest record is cut"),
    "record deleted": ("manifest/000003.json", os.remove, "not computed"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_a_chunk_is_found_and_only_that_chunk_computed_again(whole, damage):
    path, calls, bytes_before = whole
    name, harm, reason = DAMAGES[damage]
    harm(path / name)
    ((where, found),) = verify(path)
    assert where == 3 and reason in found
    done = repair(path)
    assert done.computed == len(calls) == 1
    assert verify(path) == [] and files_of(path) == bytes_before


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_chunk_is_not_computed_to_whoever_opens_the_store(whole, damage):
    """But for a flipped bit among the numbers, which says so when it is read."""
    path, *_ = whole
    sound, (name, harm, _) = open_sweep(path).load(), DAMAGES[damage]
    harm(path / name)
    data = open_sweep(path)
    if harm is flip and name.startswith(("values", "status")):
        with pytest.raises(jm.MarketError, match=r"a chunk is damaged: .*; jaxmech sweep repair"):
            data.load()
        return
    lost = (data.status == -1).values
    assert data.attrs["interrupted"] == 1
    assert lost.reshape(8, 10)[5:, :4].all() and lost.sum() == 12
    for variable, values in data.data_vars.items():
        if variable != "status":
            assert np.isnan(values.values[lost]).all() and values.dtype == sound[variable].dtype, variable
            np.testing.assert_array_equal(values.values[~lost], sound[variable].values[~lost])
    xr.testing.assert_identical(data.load(), loaded_dataset(store.opened(path)))
    assert sweep_summary(store.opened(path))["status"]["not_computed"] == 12
    assert stored_sweep(path, small_design(), size=64, resume=True).computed == 1
    xr.testing.assert_identical(open_sweep(path).load(), sound)


def test_a_summary_takes_laws_whose_ends_have_no_field_of_their_own(monkeypatch, tmp_path):
    cheap_kernel(monkeypatch)
    law = jm.Mixture((jm.Uniform(-1.0, 0.5), jm.Uniform(0.0, 1.0)), [0.4, 0.6])
    market = jm.Market.of(jm.Traders(law, 0.7, 2, "dealer"), jm.Traders(jm.Uniform(-0.4, 0.9), 1.1, 1, "fund"))
    done = stored_sweep(tmp_path / "s.zarr", make_design(market, [0.5], {"dealer.laws_0_lower": [-1.0, -0.9]}))
    summary, tally = sweep_summary(done.store), _Tally(replace(done.store, columns={"d_revenue_d_laws_0_lower": 2}))
    assert summary["status"]["ok"] == 2
    assert tally.fields == {("dealer", "laws_0_lower"): (0, 2.0)}


def test_a_file_of_another_sweep_is_not_taken_for_this_one(monkeypatch, tmp_path, whole):
    """Files of the same length, with checksums that hold."""
    path, *_ = whole
    other = small_design(market=jm.Market(MARKET.endowment, 2 * MARKET.risk_capacity, MARKET.count, MARKET.names))
    cheap_kernel(monkeypatch)
    stored_sweep(tmp_path / "other.zarr", replace(other, alpha=other.alpha / 2), size=64)
    for name in ("values/c/0/0/1", "manifest/000004.json"):
        shutil.copy(tmp_path / "other.zarr" / name, path / name)
    assert store.opened(path).sound() == [0, 2, 3, 5]
    status = open_sweep(path).status.values.reshape(8, 10)
    assert (status[:5, 4:8] == -1).all() and (status[5:, 4:8] == -1).all() and (status == -1).sum() == 32


@pytest.mark.parametrize("folder", ["values/c", "status/c", "manifest"])
def test_a_store_whose_folders_are_gone_is_computed_again(whole, folder):
    path, calls, bytes_before = whole
    shutil.rmtree(path / folder)
    data = open_sweep(path)
    assert data.attrs["interrupted"] == 1 and (data.status == -1).all() and data.revenue.isnull().all()
    assert repair(path).computed == len(calls) == CHUNKS
    assert files_of(path) == bytes_before


def test_a_dataset_that_was_open_while_chunks_were_lost_and_repaired_sees_what_is_there(whole):
    path, *_ = whole
    os.remove(path / "values/c/0/1/0")
    data = open_sweep(path)
    assert (data.status == -1).sum() == 12
    repair(path)
    assert (data.status >= 0).all() and data.revenue.notnull().sum() == (data.status < 2).sum()


@pytest.mark.parametrize("name", ["zarr.json", "values/zarr.json", "status/zarr.json"])
def test_a_store_without_its_metadata_says_how_to_mend_it(whole, name):
    os.remove(whole[0] / name)
    with pytest.raises(jm.MarketError, match=f"{name} is missing, cut or changed; jaxmech sweep repair mends it"):
        open_sweep(whole[0])


def test_chunks_and_records_that_changed_places_are_found(whole):
    path, _, bytes_before = whole
    for folder, first, second in (("values/c/0", "0/0", "0/1"), ("manifest", "000003.json", "000004.json")):
        one, other = path / folder / first, path / folder / second
        held = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(held)
    assert {damage.where for damage in verify(path)} == {0, 1, 3, 4}
    repair(path)
    assert files_of(path) == bytes_before


@pytest.mark.parametrize("name", ["zarr.json", "values/zarr.json", "status/zarr.json"])
@pytest.mark.parametrize("harm", [cut, flip, os.remove])
def test_damaged_metadata_is_mended_without_computing(whole, name, harm):
    path, calls, bytes_before = whole
    harm(path / name)
    assert [damage.where for damage in verify(path)] == [name]
    repair(path)
    assert calls == [] and verify(path) == [] and files_of(path) == bytes_before


@pytest.mark.parametrize("harm", [cut, flip])
def test_a_damaged_header_is_told_and_restored_by_the_spec(whole, harm):
    path, calls, bytes_before = whole
    harm(path / "sweep.json")
    for use in (verify, repair, open_sweep):
        with pytest.raises(jm.MarketError, match=r"sweep\.json: is cut or changed; run the sweep again with --resume"):
            use(path)
    with pytest.raises(jm.MarketError, match="is cut or changed"):
        stored_sweep(path, small_design(), size=64)
    stored_sweep(path, small_design(), size=64, resume=True)
    assert calls == [] and verify(path) == [] and files_of(path) == bytes_before


def test_values_that_a_record_does_not_vouch_for_are_found_though_checksums_hold(whole):
    path, _, bytes_before = whole
    opened = store.opened(path)
    opened.arrays[0][0, 7, 9] = 42.0
    assert [tuple(damage) for damage in verify(path)] == [(5, "file of its values is truncated or changed")]
    record = json.loads((path / "manifest/000005.json").read_text()) | {"checksums": opened._checksums(5)}
    del record["record_sha256"]
    for known in (record, {name: value for name, value in record.items() if name != "checksums"}):
        (path / "manifest/000005.json").write_text(json.dumps({"record_sha256": spec_hash(known), **known}))
        assert [tuple(damage) for damage in verify(path)] == [(5, "numbers are not those that were computed")]
    assert (
        open_sweep(path).status.values.reshape(8, 10)[5:, 8:] == -1
    ).all()  # without checksums every number is looked at
    repair(path)
    assert files_of(path) == bytes_before


def test_another_sweep_is_refused(whole):
    path, calls, _ = whole
    others = [
        small_design(alpha=np.linspace(0, 0.9, 8)),
        small_design(chunk_shape=(4, 4)),
        small_design(market=jm.Market(MARKET.endowment, 2 * MARKET.risk_capacity, MARKET.count, MARKET.names)),
    ]
    for design, derivatives in [*((one, False) for one in others), (small_design(), True)]:
        for resume in (False, True):
            with pytest.raises(jm.MarketError, match="holds results of another spec; choose another folder"):
                stored_sweep(path, design, derivatives, 64, resume=resume)
    assert calls == []
    assert stored_sweep(path, others[0], size=64, overwrite=True).computed == CHUNKS


@pytest.mark.parametrize(
    ("name", "value"), [("x64", False), ("dtype", "float32"), ("jax", "0.9.0"), ("jaxmech", "0.0.9")]
)
def test_other_software_and_precision_are_refused(monkeypatch, whole, name, value):
    path, calls, _ = whole
    here = store.made_with()
    monkeypatch.setattr(store, "made_with", lambda: here | {name: value})
    for use in (lambda: stored_sweep(path, small_design(), size=64, resume=True), lambda: repair(path)):
        with pytest.raises(jm.MarketError, match=f"computed with {name} {here[name]}, but this process has {value}"):
            use()
    assert calls == []
    assert verify(path) == []  # reading needs no kernel


def test_a_record_of_other_software_does_not_count(whole):
    path, calls, bytes_before = whole
    file = path / "manifest/000002.json"
    record = json.loads(file.read_text()) | {"jax": "0.9.0"}
    del record["record_sha256"]
    file.write_text(json.dumps({"record_sha256": spec_hash(record), **record}))
    assert [tuple(damage) for damage in verify(path)] == [(2, "manifest record is of another sweep or software")]
    repair(path)
    assert len(calls) == 1 and files_of(path) == bytes_before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("step", ["to_disk", "write_whole"])
def test_a_disk_that_refuses_is_told_and_tears_nothing(monkeypatch, tmp_path, whole, code, step):
    path, calls = tmp_path / "full.zarr", []

    def refuse(*arguments):
        calls.append(arguments)
        if len(calls) > 4:
            raise OSError(code, os.strerror(code))
        return original(*arguments)

    original = getattr(store, step)
    with monkeypatch.context() as patch:
        patch.setattr(store, step, refuse)
        with pytest.raises(jm.MarketError, match=f"{os.strerror(code)}; chunks already computed are kept"):
            stored_sweep(path, small_design(), size=64)
    assert {damage.reason for damage in verify(path)} == {"not computed"}
    stored_sweep(path, small_design(), size=64, resume=True)
    assert files_of(path) == whole[2]


def test_a_folder_that_vanishes_is_told_and_not_made_anew(monkeypatch, tmp_path):
    path = tmp_path / "s.zarr"
    cheap_kernel(monkeypatch, lambda call: call == 3 and shutil.rmtree(path))
    with pytest.raises(jm.MarketError, match="No such file or directory"):
        stored_sweep(path, small_design(), size=64)
    assert not path.exists()


def test_clocks_that_jump_change_nothing(monkeypatch, tmp_path, whole):
    ticks = iter([1e9, -1e9, 5.0, 0.0] * 100)
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(time, "time", lambda: -next(ticks))
    stored_sweep(tmp_path / "t.zarr", small_design(), size=64)
    for file in tmp_path.rglob("*"):
        os.utime(file, (0, 2**32))
    assert verify(tmp_path / "t.zarr") == [] and files_of(tmp_path / "t.zarr") == whole[2]


HOLDER = """
import sys, pathlib
from jaxmech.sweep.files import alone
with alone(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_sweeps_on_one_folder_are_told_and_a_dead_one_holds_nothing(whole):
    path, *_ = whole
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        for use in (lambda: stored_sweep(path, small_design(), size=64, overwrite=True), lambda: repair(path)):
            with pytest.raises(jm.MarketError, match=f"process {holder.pid} on .* is computing this sweep; wait"):
                use()
        assert verify(path) == []
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert stored_sweep(path, small_design(), size=64).computed == 0


def test_debris_of_a_killed_process_is_removed(whole):
    path, _, bytes_before = whole
    (path / "values/c/0/0/1.0ab.partial").write_bytes(b"half")
    (path / "manifest/000001.json.77.partial").write_text("{")
    assert verify(path) == []
    repair(path)
    assert files_of(path) == bytes_before


def test_a_folder_without_a_sweep_is_told(tmp_path):
    for use in (verify, repair, open_sweep):
        with pytest.raises(jm.MarketError, match="holds no sweep"):
            use(tmp_path)


def test_a_sweep_in_one_call_reads_from_its_store(monkeypatch, tmp_path):
    cheap_kernel(monkeypatch)
    path = tmp_path / "s.zarr"
    found = jm.sweep(MARKET, [0.1, 0.2], progress=False, path=path)
    assert found.revenue.values.tolist() == jm.open_sweep(path).revenue.values.tolist() == [0.11, 0.21000000000000002]
    jm.sweep(MARKET, [0.1, 0.2], progress=False, path=path, resume=True)
    with pytest.raises(jm.MarketError, match=r"resume needs a path ending in \.zarr"):
        jm.sweep(MARKET, [0.1, 0.2], path=tmp_path / "s.nc", resume=True)
    with pytest.raises(jm.MarketError, match=r"give one ending in \.nc \(netCDF\) or \.zarr"):
        jm.sweep(MARKET, [0.1, 0.2], path=tmp_path / "s.csv")


def test_answers_outlive_a_file_that_cannot_be_written(monkeypatch, tmp_path):
    cheap_kernel(monkeypatch)
    for path in (tmp_path / "nowhere" / "s.nc", tmp_path / "folder.nc"):
        (tmp_path / "folder.nc").mkdir(exist_ok=True)
        with pytest.raises(jm.MarketError, match="give a file in a folder that exists"):
            jm.sweep(MARKET, [0.1, 0.2], progress=False, path=path)

    def full(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    with pytest.warns(UserWarning, match=r"s\.nc was not written: .*No space left on device; the Dataset is returned"):
        found = jm.sweep(MARKET, [0.1, 0.2], progress=False, path=tmp_path / "s.nc")
    assert found.revenue.values.tolist() == [0.11, 0.21000000000000002]
