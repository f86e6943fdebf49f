"""Benchmarks: what a model is asked and what counts as right.

A file in this folder with a `BUILTIN` is a benchmark everywhere.
"""

from merging.benchmarks.builtin import Builtin, benchmarks
from merging.benchmarks.question_files import read_questions
from merging.benchmarks.questions import Questions
from merging.benchmarks.samples import SPLITS, Benchmark, Sample, Split
from merging.benchmarks.scorers import Scorer, scorers
from merging.benchmarks.spec import BenchmarkSpec, QuestionFile
from merging.registry import plugins

for _module in plugins(__name__):
    if isinstance(_builtin := getattr(_module, "BUILTIN", None), Builtin):
        benchmarks.register(_builtin.name, _builtin)

__all__ = [
    "SPLITS",
    "Benchmark",
    "BenchmarkSpec",
    "Builtin",
    "QuestionFile",
    "Questions",
    "Sample",
    "Scorer",
    "Split",
    "benchmarks",
    "read_questions",
    "scorers",
]
