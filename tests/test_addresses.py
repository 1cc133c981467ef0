"""Addresses show no password, wherever it stands and whatever it holds."""

import pytest

from calco.addresses import is_cut, redact_address, redact_addresses, redact_record, redact_text
from calco.errors import CalcoError


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a camera rtsp://ana:pass@10.0.0.9/s, and more", "a camera rtsp://ana:***@10.0.0.9/s, and more"),
        ("(https://h/a?X-Amz-Signature=abc)", "(https://h/a?X-Amz-Signature=***"),
        ("https://hook.example/T1#secret", "https://hook.example/T1#***"),
        ("s3://KEY:SECRET@bucket/a s3://KEY:OTHER@bucket/b", "s3://KEY:***@bucket/a s3://KEY:***@bucket/b"),
        ("a token hf_abcdefghijklmnopqrst here", "a token hf_*** here"),
        ("the form is mysql://USER:PASSWORD@HOST/DB", "the form is mysql://USER:PASSWORD@HOST/DB"),
        ("no address: a@b, 3 // 4, C:/x", "no address: a@b, 3 // 4, C:/x"),
    ],
)
def test_texts_show_no_secret_of_any_address_in_them(text: str, shown: str) -> None:
    assert redact_addresses(text) == shown
    assert redact_addresses(shown) == shown
    assert str(CalcoError(text)) == shown


def test_plain_data_shows_no_secret_at_any_depth() -> None:
    record = {"a": ["rtsp://u:p@h/x", 3, None, {"rtsp://u:p@h/y": "two lines\nhttp://u:p@h/z"}], "b": "u:p@h"}
    assert redact_record(record) == {
        "a": ["rtsp://u:***@h/x", 3, None, {"rtsp://u:***@h/y": "two lines\nhttp://u:***@h/z"}], "b": "u:p@h"
    }  # fmt: skip


def test_an_address_that_was_cut_is_known() -> None:
    assert is_cut("http://u:***@h/x")
    assert is_cut("http://h/x?token=***")
    assert not is_cut("http://u:p@h/x")
    assert not is_cut("folder/***")
