"""The estimators are imported when they are asked for, and say what is missing."""

import subprocess
import sys


def run(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_import_xpnet_does_not_import_scikit_learn():
    found = run("import sys, xpnet; print({'sklearn', 'scipy', 'pandas'} & set(sys.modules))")
    assert found.stdout.strip() == "set()", found.stderr


def test_they_are_an_attribute_of_xpnet():
    found = run("import xpnet; print(xpnet.estimators.MLPClassifier(5))")
    assert found.stdout.strip() == "MLPClassifier(hidden_layer_sizes=5)", found.stderr


def test_without_scikit_learn_the_error_has_the_command_that_installs_it():
    found = run("import sys; sys.modules['sklearn'] = None; import xpnet.estimators")
    expected = (
        'MissingPackageError: xpnet.estimators needs scikit-learn: pip install "xpnet[sklearn]"'
    )
    assert found.stderr.strip().endswith(expected)
