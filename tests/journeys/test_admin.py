"""A supervisor at the live page: what is pressed there happens on the wire and comes back to the page."""

import html
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from queues.models import Offer
from tests.journeys import house as h

pytestmark = pytest.mark.django_db(transaction=True)

LIVE = reverse("admin:live")


class Desk:
    """A browser with the live page open: presses the buttons that are there, as they are there."""

    def __init__(self, user: User) -> None:
        self.browser = Client(enforce_csrf_checks=True)
        self.browser.force_login(user)

    def sees(self) -> str:
        return re.sub(r"\s+", " ", html.unescape(self.browser.get(LIVE).content.decode()))

    def buttons(self) -> set[str]:
        return {re.sub(r"<[^>]+>", "", button) for button in re.findall(r"<button id.*?</button>", self.sees())}

    def press(self, label: str) -> str:
        """Press the first button of that label; what the page says then."""
        for action, form in re.findall(r'<form method="post" action="([^"]+)".*?>(.*?)</form>', self.sees()):
            fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
            for verb in re.findall(rf'value="(\w+)"[^>]*>{label}</button>', form):
                answer = self.browser.post(action, fields | {"verb": verb}, follow=True)
                assert answer.redirect_chain == [(LIVE, 302)]
                return " ".join(str(message) for message in answer.context["messages"])
        raise AssertionError(f"there is no button {label!r}")


def test_listen_whisper_hold_and_stop_from_the_live_page(house: h.House) -> None:
    support = h.queue()
    h.agent("anna", support)
    desk = Desk(h.supervisor("sue"))
    assert "Nobody is talking." in desk.sees()
    call = house.ring()
    house.until(lambda: Offer.objects.filter(state=Offer.State.CONNECTED).exists(), within=20)
    house.advance(1)
    anna = h.only_offer(call).leg
    assert anna is not None
    assert {"Listen", "Whisper", "Barge"} <= desk.buttons()

    assert desk.press("Listen").startswith("Your phone is rung")
    house.advance(3)
    assert {"Take over", "Stop listening", "Whisper"} <= desk.buttons()
    assert "Listen" not in desk.buttons()
    assert "monitor</span>" in desk.sees()
    assert house.hears(call.leg) == {anna.call_control_id}

    desk.press("Whisper")
    house.advance(2)
    assert "whisper</span>" in desk.sees()
    assert len(house.hears(anna)) == 2
    assert house.hears(call.leg) == {anna.call_control_id}

    desk.press("Hold everyone")
    house.advance(1)
    assert "on hold</span>" in desk.sees()
    desk.press("Unhold everyone")
    house.advance(1)
    assert house.hears(call.leg) == {anna.call_control_id}

    desk.press("Stop listening")
    house.advance(1)
    assert "Listen" in desk.buttons()
    assert house.hears(anna) == {call.leg.call_control_id}

    desk.press("End")
    house.advance(2)
    assert "Nobody is talking." in desk.sees()
    house.check()
