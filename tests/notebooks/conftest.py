"""The environment of the kernels and of JupyterLab: without the settings of whoever runs the tests."""

import pytest

from tests.processes import environment


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory):
    """Jupyter and IPython find no settings, kernels, themes or history of their user."""
    folder = tmp_path_factory.mktemp("jupyter")
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    own = {f"JUPYTER_{name}": str(folder / name.lower()) for name in names}
    own |= {f"JUPYTERLAB_{name}_DIR": str(folder / name) for name in ("SETTINGS", "WORKSPACES")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(IPYTHONDIR=str(folder), **own).items():
            patch.setenv(name, value)
        patch.delenv("MPLBACKEND", raising=False)  # the kernel chooses
        yield folder
