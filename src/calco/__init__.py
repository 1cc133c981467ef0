"""Calco trains image-to-image translators from a few hundred pairs: from a folder of images to a shareable model.

The names here are public, and so are those of `calco.detection`, `calco.watch`, `calco.video`, `calco.annotations` and
`calco.crime`. Everything else may change between versions.
"""

import os as _os
from typing import TYPE_CHECKING

from calco.lazy import lazy_names

# libgomp, the OpenMP of torch's wheels for Linux, lets a thread that waits for another one turn in a loop, by default
# 300,000 times, before it sleeps; beside another busy process it so takes the core from the very thread that it waits
# for. 2,000 turns bridge the gap between two layers. It is read once, when torch is imported.
if "OMP_WAIT_POLICY" not in _os.environ:
    _os.environ.setdefault("GOMP_SPINCOUNT", "2000")

if TYPE_CHECKING:
    from calco.ablation import AblateConfig
    from calco.ablation.ablate import ablate
    from calco.benchmarks import BenchConfig
    from calco.benchmarks.bench import bench
    from calco.checking import CheckConfig
    from calco.checking.check import check
    from calco.cli.completion import CompletionConfig, completion
    from calco.cli.demo import DemoConfig, demo
    from calco.collecting import CollectConfig
    from calco.collecting.collect import collect
    from calco.data.config import PrepareConfig, RecipesConfig, SourceConfig
    from calco.data.gallery import recipes
    from calco.data.prepare import prepare
    from calco.data.recipe_config import RecipeConfig
    from calco.data.recipes import build_recipe
    from calco.data.sample import Pair, Sample
    from calco.data.sources import open_source
    from calco.diagnosis import Diagnosis, DoctorConfig, doctor
    from calco.errors import (
        CalcoError,
        DataError,
        MissingExtraError,
        ModelError,
        OutOfMemoryError,
        UsageError,
        WriteError,
    )
    from calco.evaluation import CompareConfig, EvaluateConfig
    from calco.evaluation.evaluate import compare, evaluate
    from calco.evaluation.metrics import psnr as psnr
    from calco.evaluation.metrics import psnr_inside as psnr_inside
    from calco.evaluation.report import write_report as write_report
    from calco.evaluation.scoring import evaluate as score
    from calco.export import ExportConfig
    from calco.export.export import export_model
    from calco.imaging import read as read_image
    from calco.imaging import write as write_image
    from calco.inference import TranslateConfig
    from calco.inference.steady import Steady as Steady
    from calco.inference.translate import translate
    from calco.inference.translator import Translator, load
    from calco.report.display import Shown, show
    from calco.training.config import TrainConfig, preset
    from calco.training.run import Run as Run
    from calco.training.translation import train
    from calco.version import __version__
    from calco.web import ServeConfig
    from calco.web.client import Client
    from calco.web.serve import serve

# Public name => its module; imported when first used, so that `calco --help` answers at once.
_HOMES = {
    "AblateConfig": "calco.ablation", "ablate": "calco.ablation.ablate",
    "BenchConfig": "calco.benchmarks", "CalcoError": "calco.errors", "CheckConfig": "calco.checking",
    "CollectConfig": "calco.collecting", "CompareConfig": "calco.evaluation",
    "CompletionConfig": "calco.cli.completion", "completion": "calco.cli.completion",
    "Diagnosis": "calco.diagnosis", "DoctorConfig": "calco.diagnosis", "doctor": "calco.diagnosis",
    "Shown": "calco.report.display", "show": "calco.report.display",
    "DataError": "calco.errors", "DemoConfig": "calco.cli.demo", "EvaluateConfig": "calco.evaluation",
    "ExportConfig": "calco.export", "MissingExtraError": "calco.errors", "ModelError": "calco.errors",
    "OutOfMemoryError": "calco.errors", "Pair": "calco.data.sample", "PrepareConfig": "calco.data.config",
    "RecipeConfig": "calco.data.recipe_config", "RecipesConfig": "calco.data.config", "Sample": "calco.data.sample",
    "Run": "calco.training.run", "Client": "calco.web.client", "ServeConfig": "calco.web", "serve": "calco.web.serve",
    "SourceConfig": "calco.data.config", "TrainConfig": "calco.training.config",
    "TranslateConfig": "calco.inference", "Translator": "calco.inference.translator",
    "UsageError": "calco.errors", "WriteError": "calco.errors", "bench": "calco.benchmarks.bench",
    "build_recipe": "calco.data.recipes", "check": "calco.checking.check", "collect": "calco.collecting.collect",
    "compare": "calco.evaluation.evaluate", "demo": "calco.cli.demo", "evaluate": "calco.evaluation.evaluate",
    "export_model": "calco.export.export", "load": "calco.inference.translator", "open_source": "calco.data.sources",
    "prepare": "calco.data.prepare", "preset": "calco.training.config", "recipes": "calco.data.gallery",
    "train": "calco.training.translation", "translate": "calco.inference.translate",
    "score": "calco.evaluation.scoring:evaluate", "write_report": "calco.evaluation.report",
    "psnr": "calco.evaluation.metrics", "psnr_inside": "calco.evaluation.metrics", "Steady": "calco.inference.steady",
    "read_image": "calco.imaging:read", "write_image": "calco.imaging:write", "__version__": "calco.version",
}  # fmt: skip
__all__ = [
    "AblateConfig", "BenchConfig", "CalcoError", "CheckConfig", "Client", "CollectConfig", "CompareConfig",
    "CompletionConfig", "DataError", "DemoConfig", "Diagnosis", "DoctorConfig", "EvaluateConfig", "ExportConfig",
    "MissingExtraError", "ModelError", "OutOfMemoryError", "Pair", "PrepareConfig", "RecipeConfig", "RecipesConfig",
    "Run", "Sample", "ServeConfig", "Shown", "SourceConfig", "Steady", "TrainConfig", "TranslateConfig", "Translator",
    "UsageError", "WriteError", "__version__", "ablate", "bench", "build_recipe", "check", "collect", "compare",
    "completion", "demo", "doctor", "evaluate", "export_model", "load", "open_source", "prepare", "preset", "psnr",
    "psnr_inside", "read_image", "recipes", "score", "serve", "show", "train", "translate", "write_image",
    "write_report",
]  # fmt: skip
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
