"""The packages of the wheel, and the optional extension. pyproject.toml holds all else; it cannot say that one package lies
outside the others' folders, nor that a wheel without the extension is good, too."""

import os
from glob import glob

from setuptools import Extension, find_packages, setup

ACCEL = "machemu/machine/accel"
WARNINGS = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
flags = os.environ.get("MACHEMU_SANITIZE", "").split()

setup(
    packages=[*find_packages(include=["machemu", "machemu.*"]), *find_packages("servers"), "machemu.images", "machemu.lessons"],
    ext_modules=[
        Extension(
            "machemu.machine.accel.native",
            sorted(glob(f"{ACCEL}/*.c")),
            depends=sorted(glob(f"{ACCEL}/*.h")),
            extra_compile_args=["-std=c11", *WARNINGS, *flags],
            extra_link_args=flags,
            optional=True,
        )
    ],
)
