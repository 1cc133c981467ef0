"""Calco trains image-to-image translators from a few hundred pairs: from a folder of images to a shareable model.

The names here are public, and so are those of `calco.detection`, `calco.watch`, `calco.video`, `calco.annotations` and
`calco.crime`. Everything else may change between versions.
"""

from typing import TYPE_CHECKING

from calco.lazy import lazy_names

if TYPE_CHECKING:
    from calco.benchmarks.bench import bench
    from calco.benchmarks.config import BenchConfig
    from calco.checking.check import check
    from calco.checking.config import CheckConfig
    from calco.cli.demo import DemoConfig, demo
    from calco.collecting.collect import collect
    from calco.collecting.config import CollectConfig
    from calco.data.config import PrepareConfig, RecipesConfig, SourceConfig
    from calco.data.gallery import recipes
    from calco.data.prepare import prepare
    from calco.data.recipe_config import RecipeConfig
    from calco.data.recipes import build_recipe
    from calco.data.sample import Pair, Sample
    from calco.data.sources import open_source
    from calco.errors import (
        CalcoError,
        DataError,
        MissingExtraError,
        ModelError,
        OutOfMemoryError,
        UsageError,
        WriteError,
    )
    from calco.evaluation.config import CompareConfig, EvaluateConfig
    from calco.evaluation.evaluate import compare, evaluate
    from calco.evaluation.metrics import psnr as psnr
    from calco.evaluation.metrics import psnr_inside as psnr_inside
    from calco.evaluation.report import write_report as write_report
    from calco.evaluation.scoring import evaluate as score
    from calco.export.config import ExportConfig
    from calco.export.export import export_model
    from calco.imaging import read as read_image
    from calco.imaging import write as write_image
    from calco.inference.config import TranslateConfig
    from calco.inference.loading import load
    from calco.inference.steady import Steady as Steady
    from calco.inference.translate import translate
    from calco.inference.translator import Translator
    from calco.training.config import TrainConfig, preset
    from calco.training.translation import train
    from calco.version import __version__

# Public name => module and name; imported when first used, so that `calco --help` answers at once.
_HOMES = {
    "BenchConfig": "calco.benchmarks.config:BenchConfig",
    "CalcoError": "calco.errors:CalcoError",
    "CheckConfig": "calco.checking.config:CheckConfig",
    "CollectConfig": "calco.collecting.config:CollectConfig",
    "CompareConfig": "calco.evaluation.config:CompareConfig",
    "DataError": "calco.errors:DataError",
    "DemoConfig": "calco.cli.demo:DemoConfig",
    "EvaluateConfig": "calco.evaluation.config:EvaluateConfig",
    "ExportConfig": "calco.export.config:ExportConfig",
    "MissingExtraError": "calco.errors:MissingExtraError",
    "ModelError": "calco.errors:ModelError",
    "OutOfMemoryError": "calco.errors:OutOfMemoryError",
    "Pair": "calco.data.sample:Pair",
    "PrepareConfig": "calco.data.config:PrepareConfig",
    "RecipeConfig": "calco.data.recipe_config:RecipeConfig",
    "RecipesConfig": "calco.data.config:RecipesConfig",
    "Sample": "calco.data.sample:Sample",
    "SourceConfig": "calco.data.config:SourceConfig",
    "TrainConfig": "calco.training.config:TrainConfig",
    "TranslateConfig": "calco.inference.config:TranslateConfig",
    "Translator": "calco.inference.translator:Translator",
    "UsageError": "calco.errors:UsageError",
    "WriteError": "calco.errors:WriteError",
    "bench": "calco.benchmarks.bench:bench",
    "build_recipe": "calco.data.recipes:build_recipe",
    "check": "calco.checking.check:check",
    "collect": "calco.collecting.collect:collect",
    "compare": "calco.evaluation.evaluate:compare",
    "demo": "calco.cli.demo:demo",
    "evaluate": "calco.evaluation.evaluate:evaluate",
    "export_model": "calco.export.export:export_model",
    "load": "calco.inference.loading:load",
    "open_source": "calco.data.sources:open_source",
    "prepare": "calco.data.prepare:prepare",
    "preset": "calco.training.config:preset",
    "recipes": "calco.data.gallery:recipes",
    "train": "calco.training.translation:train",
    "translate": "calco.inference.translate:translate",
    "score": "calco.evaluation.scoring:evaluate",
    "write_report": "calco.evaluation.report:write_report",
    "psnr": "calco.evaluation.metrics:psnr",
    "psnr_inside": "calco.evaluation.metrics:psnr_inside",
    "Steady": "calco.inference.steady:Steady",
    "read_image": "calco.imaging:read",
    "write_image": "calco.imaging:write",
    "__version__": "calco.version:__version__",
}
__all__ = [
    "BenchConfig", "CalcoError", "CheckConfig", "CollectConfig", "CompareConfig", "DataError", "DemoConfig",
    "EvaluateConfig", "ExportConfig", "MissingExtraError", "ModelError", "OutOfMemoryError", "Pair",
    "PrepareConfig", "RecipeConfig", "RecipesConfig", "Sample", "SourceConfig", "Steady", "TrainConfig",
    "TranslateConfig", "Translator", "UsageError", "WriteError", "__version__", "bench", "build_recipe", "check",
    "collect", "compare", "demo", "evaluate", "export_model", "load", "open_source", "prepare", "preset", "psnr",
    "psnr_inside", "read_image", "recipes", "score", "train", "translate", "write_image", "write_report",
]  # fmt: skip
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
