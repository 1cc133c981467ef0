"""The outline of the course: numbers and titles of its lessons, in their order."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from calco.errors import UsageError

Language: TypeAlias = Literal["es", "en"]

LANGUAGE: Final = "CALCO_LESSONS_LANGUAGE"
"""Environment variable that names the language in which a lesson opens: es or en."""
NOTEBOOKS: Final = Path(__file__).parent / "notebooks"


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson of the course: a notebook that runs from start to end."""

    number: str
    """Number in the outline, such as "2.4"."""
    es: str
    """Title in Spanish."""
    en: str
    """Title in English."""

    @property
    def path(self) -> Path:
        """The notebook, a Python file of marimo."""
        return NOTEBOOKS / f"lesson_{self.part}_{int(self.number.partition('.')[2]):02}.py"

    @property
    def part(self) -> str:
        """Number of its part, such as "2"."""
        return self.number.partition(".")[0]

    def title(self, language: Language) -> str:
        """Return the title in a language."""
        return self.es if language == "es" else self.en


PARTS: Final[dict[str, tuple[str, str]]] = {
    "1": ("Introducción", "Introduction"),
    "2": ("Detección de objetos", "Object detection"),
    "3": ("Segmentación", "Segmentation"),
    "4": ("El estado del arte", "The state of the art"),
    "5": ("Los trabajos de Calco", "Calco's jobs"),
}
"""Parts of the course, by the first number of their lessons: Spanish, English."""

LESSONS: Final = tuple(
    Lesson(*each)
    for each in (
        ("1.1", "¿Qué es la visión por computadora?", "What is computer vision?"),
        ("2.1", "La ventana deslizante y la caja delimitadora", "The sliding window and the bounding box"),
        ("2.2", "La ventana deslizante en video", "The sliding window as a video"),
        ("2.3", "Backbone, supresión de no máximos y métricas", "Backbone, non-maximum suppression and metrics"),
        ("2.4", "Ver la IoU", "Seeing IoU"),
        ("2.5", "Tipos de arquitecturas de detección", "Kinds of detection architectures"),
        ("2.6", "Arquitecturas relevantes", "Relevant architectures"),
        ("2.7", "Usar un conjunto de datos de detección", "Using a detection data set"),
        ("2.8", "Cargar el conjunto de datos", "Loading the data set"),
        ("2.9", "Explorar el conjunto de datos", "Exploring the data set"),
        ("2.10", "Dibujar las cajas", "Drawing the boxes"),
        ("2.11", "Aumento de datos", "Data augmentation"),
        ("2.12", "Aumento de datos en detección", "Augmentation for detection"),
        ("2.13", "Ver las imágenes aumentadas", "Looking at augmented images"),
        ("2.14", "Un detector preentrenado", "A pretrained detector"),
        ("2.15", "Ajuste fino de un detector", "Fine-tuning a detector"),
        ("2.16", "Ajuste fino: los datos", "Fine-tuning: the data"),
        ("2.17", "Ajuste fino: el aumento de datos", "Fine-tuning: the augmentation"),
        ("2.18", "Ajuste fino: el entrenamiento", "Fine-tuning: the training"),
        ("2.19", "Ajuste fino: los resultados", "Fine-tuning: the results"),
        ("2.20", "Cuestionario de detección", "Detection quiz"),
        ("3.1", "¿Qué es la segmentación?", "What is segmentation?"),
        ("3.2", "Tipos de segmentación", "Kinds of segmentation"),
        ("3.3", "Tipos y arquitecturas", "Kinds and architectures"),
        ("3.4", "¿Cómo es un conjunto de datos de segmentación?", "What does a segmentation data set look like?"),
        ("3.5", "Usar un conjunto de datos de segmentación", "Using a segmentation data set"),
        ("3.6", "Ver el conjunto de datos", "Looking at the data set"),
        ("3.7", "Una U-Net, capa por capa", "A U-Net, layer by layer"),
        ("3.8", "Entrenar y estudiar la U-Net", "Training and studying the U-Net"),
        ("3.9", "Las predicciones", "The predictions"),
        ("3.10", "Cuestionario de segmentación", "Segmentation quiz"),
        ("4.1", "El estado del arte", "The state of the art"),
        ("5.1", "Redes antagónicas y el juego minimax", "Adversarial networks and the minimax game"),
        ("5.2", "GAN condicional, U-Net y PatchGAN", "Conditional GAN, U-Net and PatchGAN"),
        ("5.3", "Colorear", "Colouring"),
        ("5.4", "Reparar huecos", "Repairing holes"),
        ("5.5", "Bocetos de otra mano", "Sketches by another hand"),
    )
)
"""The lessons, in the order of the course."""


def lesson_of(number: str) -> Lesson:
    """Return the lesson with a number.

    Raises:
        UsageError: There is no such lesson.
    """
    for lesson in LESSONS:
        if lesson.number == number:
            return lesson
    raise UsageError(f"there is no lesson {number!r}; calco lessons lists them, from {LESSONS[0].number} to 5.5")
