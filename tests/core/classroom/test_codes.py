"""The codes of a class, its names, and what a browser's cookies are worth."""

import math
import os
import stat
import threading

import pytest

from core.classroom import codes
from core.classroom.codes import LETTERS, NAME_COOKIE, ROLE_COOKIE
from core.classroom.roles import STRANGER, TEACHER, VIEWER, Actor, NotAllowed, Role
from core.runs.files import StoreError


@pytest.fixture
def group(tmp_path):
    return codes.read(tmp_path)


def student(group, name=""):
    cookies = {ROLE_COOKIE: group.role_ticket(Role.STUDENT)}
    return cookies | ({NAME_COOKIE: group.name_ticket(name)} if name else {})


def test_codes_are_hard_to_guess_and_the_same_next_time(group, tmp_path):
    assert len(group.teacher_code) * math.log2(len(set(LETTERS))) >= 128
    assert len(group.class_code) == 8
    assert not set("iIlLoO01") & set(LETTERS)
    assert codes.read(tmp_path) == group
    assert codes.read(tmp_path / "another").teacher_code != group.teacher_code


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_the_owner_can_read_them(group, tmp_path):
    for changed in (lambda: None, lambda: codes.take_name(tmp_path, "Anna"), lambda: codes.new_codes(tmp_path)):
        changed()
        assert stat.S_IMODE((tmp_path / ".class" / "class.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / ".class").stat().st_mode) == 0o700


def test_a_code_is_read_as_people_write_it(group):
    assert group.role_of(codes.spelled(group.class_code)) == Role.STUDENT
    assert group.role_of(f" {group.class_code.upper()} ") == Role.STUDENT
    assert group.role_of(codes.spelled(group.teacher_code)) == Role.TEACHER
    for wrong in ("", "x", group.class_code[:-1], group.class_code + "a", "é" * 8, group.key):
        assert group.role_of(wrong) is None


def test_cookies_say_who_somebody_is(group, tmp_path):
    group = codes.take_name(tmp_path, "Anna")
    assert group.actor({ROLE_COOKIE: group.role_ticket(Role.TEACHER)}) == TEACHER
    assert group.actor(student(group)) == Actor(Role.STUDENT)
    assert group.actor(student(group, "Anna")) == Actor(Role.STUDENT, "Anna")
    assert group.actor({}) == VIEWER
    assert group.actor({}, viewers=False) == STRANGER
    assert group.actor({NAME_COOKIE: group.name_ticket("Anna")}) == VIEWER  # a name opens nothing


def test_a_forged_cookie_is_worth_nothing(group, tmp_path):
    group = codes.take_name(tmp_path, "Anna")
    other = codes.take_name(tmp_path / "other", "Anna") if codes.read(tmp_path / "other") else None
    as_student = group.role_ticket(Role.STUDENT)
    forged = ["teacher", "", as_student[:-1], other.role_ticket(Role.TEACHER)]
    forged += [other.role_ticket(Role.TEACHER).split(".")[0] + "." + as_student.split(".", 1)[1]]
    for ticket in forged:
        assert group.actor({ROLE_COOKIE: ticket}) == VIEWER
    swapped = {ROLE_COOKIE: group.name_ticket("Anna"), NAME_COOKIE: as_student}
    assert group.actor(swapped) == VIEWER
    assert group.actor(student(group) | {NAME_COOKIE: other.name_ticket("Anna")}) == Actor(Role.STUDENT)


def test_new_codes_throw_everybody_out_and_leave_names(group, tmp_path):
    old = codes.take_name(tmp_path, "Anna")
    new = codes.new_codes(tmp_path)
    assert new.role_of(old.class_code) is new.role_of(old.teacher_code) is None
    assert new.actor(student(old, "Anna")) == VIEWER
    assert new.actor(student(new) | {NAME_COOKIE: old.name_ticket("Anna")}) == Actor(Role.STUDENT, "Anna")


def test_a_name_is_had_once(group, tmp_path):
    group = codes.take_name(tmp_path, " Anna  Maria ")
    assert [*group.students] == ["Anna Maria"]
    for again in ("anna maria", "ANNA MARIA", "Ａnna Maria"):  # the last with a wide A
        with pytest.raises(NotAllowed, match="taken"):
            codes.take_name(tmp_path, again)
    for wrong in ("", "  ", "--", "x" * 31, "a\nb\0", "Teacher", "a\u202eb"):
        with pytest.raises(NotAllowed):
            codes.take_name(tmp_path, wrong)


def test_a_freed_name_is_its_new_owners(group, tmp_path):
    before = codes.take_name(tmp_path, "Anna")
    codes.free_name(tmp_path, "Anna")
    after = codes.take_name(tmp_path, "Anna")
    assert after.actor(student(before, "Anna")) == Actor(Role.STUDENT)
    assert after.actor(student(after, "Anna")) == Actor(Role.STUDENT, "Anna")
    with pytest.raises(StoreError, match="Anna"):
        codes.free_name(tmp_path, "Bob")


def test_thirty_at_once_get_thirty_names(group, tmp_path):
    threads = [threading.Thread(target=codes.take_name, args=(tmp_path, f"student {each}")) for each in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(codes.read(tmp_path).students) == 30


def test_a_damaged_file_is_named_and_not_replaced(tmp_path):
    codes.read(tmp_path)
    file = tmp_path / ".class" / "class.json"
    file.write_text("{")
    with pytest.raises(StoreError, match=r"class\.json"):
        codes.read(tmp_path)
    assert file.read_text() == "{"
