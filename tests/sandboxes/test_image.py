"""Images: described by a repository, cached by what they are made of."""

import json
from pathlib import Path

import pytest

from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.errors import SandboxError
from evo_agent.sandboxes import engine
from evo_agent.sandboxes.image import ensure_image
from evo_agent.sandboxes.image_base import default_tag, from_debootstrap
from evo_agent.sandboxes.image_build import with_certificates, without_comments
from evo_agent.sandboxes.select import open_sandbox


@pytest.mark.docker
def test_the_default_image_holds_what_a_python_project_needs(workspace: Path):
    docker = engine.find("docker")
    name = ensure_image(docker)
    assert name == default_tag()
    with open_sandbox(SandboxSpec(workspace), None, "docker") as sandbox:
        done = sandbox.exec(
            "git --version && python -m venv --without-pip /tmp/v && pip --version && gcc --version && ps",
            timeout=120,
        )
        assert done.exit_code == 0, done.output


@pytest.mark.docker
def test_a_dockerfile_is_built_once_and_again_when_it_changes(tmp_path: Path):
    docker = engine.find("docker")
    base = ensure_image(docker)
    mark = tmp_path.name
    (tmp_path / "data.txt").write_text(mark)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "escape").symlink_to("/etc/shadow")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(
        f"FROM {base}\nCOPY data.txt /opt/\nCOPY folder /opt/\nENV BUILT={mark}\n"
    )
    said: list[str] = []
    first = ensure_image(docker, repository=tmp_path, progress=said.append)
    try:
        assert any("Step" in line for line in said)
        said.clear()
        assert ensure_image(docker, repository=tmp_path, progress=said.append) == first
        assert said == []
        workspace = tmp_path / "w"
        workspace.mkdir()
        with open_sandbox(SandboxSpec(workspace, image=first), None, "docker") as sandbox:
            assert sandbox.exec("cat /opt/data.txt; echo $BUILT").output == f"{mark}{mark}\n"
            assert sandbox.exec("readlink /opt/escape").output == "/etc/shadow\n"
            assert sandbox.exec("env | grep -i cert").output == ""
        dockerfile.write_text(f"FROM {base}\nRUN exit 3\n")
        with pytest.raises(SandboxError, match="could not be built"):
            ensure_image(docker, repository=tmp_path)
    finally:
        docker.client.images.remove(first, force=True)


@pytest.mark.docker
def test_a_devcontainer_names_an_image_or_a_dockerfile_of_the_repository(tmp_path: Path):
    docker = engine.find("docker")
    folder = tmp_path / ".devcontainer"
    folder.mkdir()
    settings = folder / "devcontainer.json"
    settings.write_text(f'{{\n// the image\n"image": "{default_tag()}", // "x"\n}}')
    assert ensure_image(docker, repository=tmp_path) == default_tag()
    settings.write_text(json.dumps({"build": {"dockerfile": "../../../etc/passwd"}}))
    with pytest.raises(SandboxError, match="not in the repository"):
        ensure_image(docker, repository=tmp_path)
    settings.write_text("[1,")
    with pytest.raises(SandboxError, match=r"devcontainer\.json cannot be read"):
        ensure_image(docker, repository=tmp_path)


@pytest.mark.docker
def test_without_registry_and_debootstrap_the_remedy_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    docker = engine.find("docker")
    with pytest.raises(SandboxError, match="no image") as raised:
        from_debootstrap(docker, "evo-test:1", "timeout", lambda _: None)
    assert "debootstrap" in raised.value.remedy
    assert "\n" not in raised.value.remedy


def test_every_stage_of_a_build_gets_the_hosts_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    bundle = tmp_path / "ca.crt"
    bundle.write_text("certificates")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    lines = with_certificates("FROM a AS b\nRUN x\nfrom c\nFROM scratch\nCOPY y z").splitlines()
    copies = [i for i, line in enumerate(lines) if line.startswith("COPY .evo-ca.crt")]
    assert [lines[i - 1] for i in copies] == ["FROM a AS b", "from c"]
    assert "ARG PIP_CERT=/etc/ssl/certs/evo-ca.crt" in lines
    assert not any(line.startswith("ENV") for line in lines)


def test_json_with_comments_is_json():
    text = '{"a": "http://x/*no*/", /* yes */ "b": [1, 2,], // end\n "c": "\\"//",\n}'
    assert json.loads(without_comments(text)) == {"a": "http://x/*no*/", "b": [1, 2], "c": '"//'}
