"""The drive states, exhaustively: every state with every event, and every path."""

from __future__ import annotations

import itertools
from collections.abc import Set

import pytest

from tutelage_core.session import MOVING_STATES, TRANSITIONS, DriveEvent, DriveState, Session

pytestmark = pytest.mark.unit

S, E = DriveState, DriveEvent
STATES_AND_EVENTS = list(itertools.product(DriveState, DriveEvent))

EXPECTED = {
    S.STOPPED: {E.STOP: S.STOPPED, E.CLEAR_STOP: S.PAUSED},
    S.PAUSED: {E.STOP: S.STOPPED, E.START: S.AUTONOMOUS, E.DEADMAN_PRESSED: S.CORRECTING, E.RESET_BEGUN: S.RESETTING},
    S.AUTONOMOUS: {
        E.STOP: S.STOPPED,
        E.PAUSE: S.PAUSED,
        E.EPISODE_ENDED: S.PAUSED,
        E.DEADMAN_PRESSED: S.CORRECTING,
        E.PHRASE: S.AUTONOMOUS,
    },
    S.CORRECTING: {E.STOP: S.STOPPED, E.PAUSE: S.PAUSED, E.EPISODE_ENDED: S.PAUSED, E.DEADMAN_RELEASED: S.PAUSED},
    S.RESETTING: {E.STOP: S.STOPPED, E.PAUSE: S.PAUSED, E.RESET_DONE: S.PAUSED},
}
"""Written down a second time, state by state, so that a slip in the table shows."""


def after(state: DriveState, event: DriveEvent) -> DriveState:
    session = Session(state)
    session.apply(event)
    return session.state


def reachable(start: DriveState, events: Set[DriveEvent]) -> set[DriveState]:
    """Return every state that some sequence of `events` leads to from `start`."""
    found, ahead = {start}, [start]
    while ahead:
        state = ahead.pop()
        for event in events:
            target = after(state, event)
            if target not in found:
                found.add(target)
                ahead.append(target)
    return found


@pytest.mark.parametrize(("state", "event"), STATES_AND_EVENTS)
def test_each_state_answers_each_event_as_expected(state: DriveState, event: DriveEvent) -> None:
    session = Session(state)
    accepted = session.apply(event)
    assert accepted is (event in EXPECTED[state])
    assert session.state is EXPECTED[state].get(event, state)


def test_table_holds_no_more_than_what_is_expected() -> None:
    assert dict(TRANSITIONS) == {(s, e): target for s, row in EXPECTED.items() for e, target in row.items()}


def test_new_session_does_not_move() -> None:
    assert Session().state is S.PAUSED
    assert Session().state not in MOVING_STATES


def test_only_autonomous_correcting_and_resetting_move() -> None:
    assert {S.AUTONOMOUS, S.CORRECTING, S.RESETTING} == MOVING_STATES


@pytest.mark.parametrize("state", DriveState)
def test_stop_works_in_every_state(state: DriveState) -> None:
    assert after(state, E.STOP) is S.STOPPED


def test_without_clear_stop_a_stopped_session_stays_stopped_whatever_happens() -> None:
    assert reachable(S.STOPPED, set(E) - {E.CLEAR_STOP}) == {S.STOPPED}


def test_clear_stop_itself_never_moves() -> None:
    assert {after(state, E.CLEAR_STOP) for state in set(DriveState) - MOVING_STATES} == {S.PAUSED}
    assert all(after(state, E.CLEAR_STOP) is state for state in MOVING_STATES)


def test_without_start_deadman_or_reset_no_path_leads_from_stopped_to_motion() -> None:
    asked = {E.START, E.DEADMAN_PRESSED, E.RESET_BEGUN}
    assert reachable(S.STOPPED, set(E) - asked) == {S.STOPPED, S.PAUSED}
    for event in asked:  # and each of them alone is enough, so the search can see motion at all
        assert reachable(S.STOPPED, (set(E) - asked) | {event}) & MOVING_STATES


def test_every_path_from_stopped_to_motion_has_clear_stop_and_then_a_request_to_move() -> None:
    asked = {E.START, E.DEADMAN_PRESSED, E.RESET_BEGUN}
    # search over (state, cleared since the last STOP, asked since it was cleared): more than the state alone knows
    start = (S.STOPPED, False, False)
    found, ahead = {start}, [start]
    while ahead:
        state, cleared, requested = ahead.pop()
        for event in DriveEvent:
            target = after(state, event)
            if event is E.STOP:
                node = (target, False, False)
            else:
                is_cleared = cleared or event is E.CLEAR_STOP
                node = (target, is_cleared, requested or (cleared and event in asked))
            if node not in found:
                found.add(node)
                ahead.append(node)
    moving = {node for node in found if node[0] in MOVING_STATES}
    assert {node[0] for node in moving} == MOVING_STATES
    assert all(cleared and requested for _, cleared, requested in moving)


@pytest.mark.parametrize("state", DriveState)
def test_letting_the_deadman_go_never_gives_the_arm_back_to_the_policy(state: DriveState) -> None:
    if state is not S.AUTONOMOUS:  # there the policy drives already and no hand held the deadman
        assert after(state, E.DEADMAN_RELEASED) is not S.AUTONOMOUS
    assert after(S.CORRECTING, E.DEADMAN_RELEASED) is S.PAUSED


def test_sentence_corrects_the_policy_while_it_drives_and_nobody_else() -> None:
    assert {state for state in DriveState if Session(state).apply(E.PHRASE)} == {S.AUTONOMOUS}
    assert after(S.AUTONOMOUS, E.PHRASE) is S.AUTONOMOUS


def test_policy_drives_again_after_a_correction_only_by_start() -> None:
    assert S.AUTONOMOUS not in reachable(S.CORRECTING, set(E) - {E.START})
    assert {state for state in DriveState if after(state, E.START) is S.AUTONOMOUS} == {S.PAUSED, S.AUTONOMOUS}


@pytest.mark.parametrize("state", MOVING_STATES)
def test_every_motion_can_be_paused(state: DriveState) -> None:
    assert after(state, E.PAUSE) is S.PAUSED


def test_every_state_can_be_reached_from_every_other() -> None:
    for state in DriveState:
        assert reachable(state, set(E)) == set(DriveState)
