from __future__ import annotations

import pytest

from godot_otel_exporter.redact import Redactor

SECRET = """
password Passwd PWD token api_key apikey API-Key apiKey authorization cookie Set-Cookie
secret private_key client_secret access_token refreshToken X-Api-Key db_password
userPassword DBPASSWORD http.request.header.authorization aws_secret_access_key APIKey
password2
"""
HARMLESS = """
token_count prompt_tokens compass passenger secretary cookie_consent author
authorization_id broken key api path cwd 2024 _
"""


@pytest.mark.parametrize("name", SECRET.split())
def test_names_of_secrets(name):
    assert Redactor().is_secret(name)


@pytest.mark.parametrize("name", HARMLESS.split())
def test_names_of_harmless_values(name):
    assert not Redactor().is_secret(name)


def test_own_keys_are_added():
    redactor = Redactor(["Card-Number", "пароль", ""])
    assert redactor.is_secret("customer.cardNumber")
    assert redactor.is_secret("ПАРОЛЬ")
    assert not redactor.is_secret("number")
    assert redactor.is_secret("password")


def test_memory_stays_bounded():
    redactor = Redactor()
    for number in range(10_000):
        redactor.is_secret("x" * (number % 300) + str(number))
    assert len(redactor._decided) <= 4096
