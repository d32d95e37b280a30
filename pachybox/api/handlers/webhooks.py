"""pachybox.v1.API: the webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pachybox.api.definitions import box as ours
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call, handles
from pachybox.box import Box


@handles("pachybox.v1.API/ListWebhook")
def list_webhook(box: Box, request: Any, call: Call) -> Iterator[Any]:
    for hook in box.webhooks.all:
        told = hook.told
        made = ours.WebhookInfo(
            number=hook.number,
            url=hook.shown,
            events=hook.events,
            signed=hook.signed,
            waiting=hook.waiting(),
            delivered=told.delivered,
            failed=told.failed,
            dropped=told.dropped,
            error=told.error,
        )
        if told.error_time is not None:
            made.error_time.CopyFrom(m.timestamp(told.error_time))
        if told.last_time is not None:
            made.last_time.CopyFrom(m.timestamp(told.last_time))
        yield made


@handles("pachybox.v1.API/TestWebhook")
def test_webhook(box: Box, request: Any, call: Call) -> Iterator[Any]:
    for hook, answer in box.webhooks.test(request.webhook):
        yield ours.WebhookTest(
            number=hook.number, url=hook.shown, status=answer.status, error=answer.error
        )
