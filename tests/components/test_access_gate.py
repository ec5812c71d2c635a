"""Waiting for a role to work."""

from __future__ import annotations

import asyncio

import pulumi
import pytest

from components.access_gate import Answer, ask_api_server, wait_for_access


class Server:
    """Says no a few times, then yes; and a clock that only pauses move."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.asked, self.pauses = refusals, 0, list[float]()

    def ask(self, _kubeconfig: str) -> Answer:
        self.asked += 1
        return Answer(self.asked > self.refusals, "no role yet")

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def wait(server: Server, timeout: float = 600) -> None:
    asyncio.run(wait_for_access("", timeout_seconds=timeout, ask=server.ask, pause=server.pause))


def test_a_role_that_works_at_once_costs_one_question() -> None:
    server = Server(0)
    wait(server)
    assert (server.asked, server.pauses) == (1, [])


def test_a_late_role_is_asked_for_less_and_less_often() -> None:
    server = Server(8)
    wait(server)
    assert server.asked == 9
    assert server.pauses == sorted(server.pauses)
    assert max(server.pauses) <= 20


def test_a_role_that_never_works_ends_with_the_last_answer_and_what_to_do() -> None:
    with pytest.raises(pulumi.RunError, match=r"10 minutes.*no role yet.*trainyard:cluster.deployers"):
        wait(Server(10_000))


def test_a_sign_in_that_fails_is_an_answer_not_a_crash() -> None:
    kubeconfig = (
        "clusters: [{cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "users: [{user: {exec: {command: /bin/sh, args: [-c, 'echo no account >&2; exit 3']}}}]\n"
    )
    answer = ask_api_server(kubeconfig)
    assert not answer.allowed
    assert "ended with 3: no account" in answer.reason


def test_an_api_server_out_of_reach_is_an_answer_not_a_crash() -> None:
    answer = ask_api_server("clusters: [{cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{user: {token: t}}]\n")
    assert not answer.allowed
    assert "refused" in answer.reason.lower()
