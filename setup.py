"""The packages of the wheel. pyproject.toml holds all else; it cannot say that one package lies outside the others' folders."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["machemu", "machemu.*"]), *find_packages("servers"), "machemu.images", "machemu.lessons"])
