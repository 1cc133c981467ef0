"""The reference describes every verb, option and public name."""

import reference


def test_every_verb_option_and_public_name_is_described() -> None:
    assert reference.undocumented() == []


def test_a_verb_shows_its_options_beside_the_fields_of_python() -> None:
    page = reference.verb_page("train", "en")
    assert "config = calco.TrainConfig(images=...)\ncalco.train(config)" in page
    assert "| `--minutes` <code>FLOAT</code> | `limit.minutes` | <code>0.0</code> | Minutes of training" in page
    assert "`--compile` `--no-compile` | `compute.compile`" in page


def test_a_name_shows_its_signature_and_what_its_docstring_states() -> None:
    page = reference.package_page("calco", "es")
    assert "calco.psnr(" in page and "- `output`: HWC `float32`" in page
    assert "Las descripciones salen del código" in page
