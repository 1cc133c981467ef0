"""Addresses show no password, wherever it stands and whatever it holds."""

import pytest

from calco.addresses import redact_address, redact_text


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("mysql://root:se/cret@127.0.0.1:3306/crime", "mysql://root:***@127.0.0.1:3306/crime"),
        ("mysql://root:se#cret@127.0.0.1/crime", "mysql://root:***@127.0.0.1/crime"),
        ("mysql://root:[cret@127.0.0.1/crime", "mysql://root:***@127.0.0.1/crime"),
        ("mysql://root:12/34@127.0.0.1/crime", "mysql://root:***@127.0.0.1/crime"),
        ("mysql://:cret@127.0.0.1/crime", "mysql://:***@127.0.0.1/crime"),
        ("postgres://h:1/c?user=u&password=cret", "postgres://h:1/c?user=u&password=***"),
        ("postgres://h:1/c?password=cr&et=1#x&user=u", "postgres://h:1/c?password=***"),
        ("postgres://u:cret@h/c?sslmode=require&sslpassword=other", "postgres://u:***@h/c?sslmode=require&sslpassword=***"),
        ("postgres://ana@h/c", "postgres://ana@h/c"),
        ("root:cret@127.0.0.1/crime", "root:***@127.0.0.1/crime"),
        ("mysql:/root:cret@127.0.0.1/crime", "mysql:***@127.0.0.1/crime"),
        ("host=h password=cret dbname=c", "host=h password=***"),
        ("https://cret@h/a.tar", "https://***@h/a.tar"),
        ("https://h/a.tar?X-Amz-Expires=9&X-Amz-Signature=cret", "https://h/a.tar?X-Amz-Expires=***"),
        ("https://h/hook?cret", "https://h/hook?***"),
        ("https://h/a.tar#access_token=cret", "https://h/a.tar#***"),
        ("https://h/pkg@1.2/a.tar", "https://h/pkg@1.2/a.tar"),
        ("data/a#1 @home?.duckdb", "data/a#1 @home?.duckdb"),
    ],
)  # fmt: skip
def test_the_address_is_shown_without_secrets(address: str, shown: str) -> None:
    assert redact_address(address) == shown


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("denied for se/cret", "mysql://root:se%2Fcret@h/c", "denied for ***"),
        ("denied for se%2Fcret", "mysql://root:se%2Fcret@h/c", "denied for ***"),
        ("cannot open mysql://root:se#cret@h/c", "mysql://root:se#cret@h/c", "cannot open mysql://root:***@h/c"),
        ("no option 'cr\\net'", "postgres://h/c?password=cr%0Aet", "no option '***'"),
        ("a bad ab", "mysql://root:a@h/c", "*** bad ab"),
        ("bad secrets: one, two", "postgres://h/c?password=one&token=two", "bad secrets: ***, ***"),
        ("no password", "data/crime.duckdb", "no password"),
    ],
)
def test_a_text_about_an_address_shows_no_secret(text: str, address: str, shown: str) -> None:
    assert redact_text(text, address) == shown
