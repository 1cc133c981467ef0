"""Refusals: what the studio says to people and programs, in English and Spanish, and by a status of HTTP."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from calco.errors import CalcoError
from calco.report.numbers import Language, filled

Said: TypeAlias = tuple[str, Mapping[str, Any]]
"""Name of one of `REASONS`, and what stands in its sentence: kept until it is known in which language it is read."""

_PATH: Final = re.compile(r"(?<![\w:/.])(?:~|\.{0,2})(?:/[^\s/:;,()'\"]+){2,}")

REASONS: Final[dict[str, tuple[int, str, str]]] = {
    # No room or time now.
    "queue": (
        503,
        "the queue is full with {most} waiting; ask again in some seconds",
        "la cola está llena con {most} en espera; prueba de nuevo en unos segundos",
    ),
    "client": (
        503,
        "your share of the queue is full with {most} waiting; wait for an answer",
        "tu parte de la cola está llena con {most} en espera; espera una respuesta",
    ),
    "large": (
        503,
        "many large images are waiting already; ask again in some seconds",
        "ya hay muchas imágenes grandes en espera; prueba de nuevo en unos segundos",
    ),
    "time": (
        503,
        "there was no answer within {seconds:g} seconds; ask again, or send a smaller image",
        "no hubo respuesta en {seconds:g} segundos; prueba de nuevo, o envía una imagen más pequeña",
    ),
    "stopping": (
        503,
        "the studio is stopping; ask again when it has started",
        "el estudio se está cerrando; prueba de nuevo cuando haya iniciado",
    ),
    "jobs": (
        503,
        "the queue of jobs is full with {most} waiting; try again later",
        "la cola de trabajos está llena con {most} en espera; inténtalo más tarde",
    ),
    "jobs_client": (
        503,
        "your share of the queue of jobs is full with {most} waiting; wait for one to end",
        "tu parte de la cola de trabajos está llena con {most} en espera; espera a que termine uno",
    ),
    "jobs_room": (
        503,
        "there is no room for another upload now; try again later",
        "no hay espacio para otro archivo ahora; inténtalo más tarde",
    ),
    # What is not there.
    "no_model": (
        404,
        "there is no {kind} {name!r}; those that are served: {known}",
        "no hay ningún modelo {name!r} de esa clase; los que hay: {known}",
    ),
    "page_model": (404, "this model is gone; reload the page", "este modelo ya no está; vuelve a cargar la página"),
    "no_job": (
        404,
        "there is no such job, or it was removed for its age; upload again",
        "no existe ese trabajo, o se borró por su antigüedad; sube el archivo de nuevo",
    ),
    "no_result": (404, "the job is not done yet; ask for its state", "el trabajo aún no termina; consulta su estado"),
    "no_boxes": (
        404,
        "the job has no table of boxes: only videos of a detector have one when done",
        "el trabajo no tiene tabla de cajas: solo la tienen los videos de un detector al terminar",
    ),
    "cancelled": (410, "the job was cancelled", "el trabajo se canceló"),
    # Requests that programs send.
    "host": (
        403,
        "this studio is not known by that name; add it with --names",
        "este estudio no se conoce con ese nombre; agrégalo con --names",
    ),
    "origin": (
        403,
        "this request comes from a page of another site; open the studio's own",
        "este pedido viene de una página de otro sitio; abre la del estudio",
    ),
    "token": (
        401,
        "the token is missing or wrong; give the one that the terminal shows: Authorization: Bearer TOKEN",
        "la clave (token) falta o no es la correcta; usa la que muestra la terminal: Authorization: Bearer TOKEN",
    ),
    "method": (
        405,
        "this address does not take that method; see the OpenAPI",
        "esta dirección no admite ese método; consulta el OpenAPI",
    ),
    "fault": (
        500,
        "this is a fault of the studio; its terminal shows more",
        "es una falla del estudio; su terminal muestra más",
    ),
    "body": (
        415,
        "the body must be {types}",
        "el cuerpo debe ser {types}",
    ),
    "field_missing": (
        422,
        "{name} is missing; send a file in the field {name}",
        "falta {name}; envía un archivo en el campo {name}",
    ),
    "field": (
        422,
        "{name}: {english}{given}{more}; the OpenAPI of the studio states what is allowed",
        "{name}: {spanish}{given}{more}; el OpenAPI del estudio dice qué se admite",
    ),
    "field_body": (422, "the body", "el cuerpo"),
    "field_more": (422, ", and {count} more", ", y {count} más"),
    "form": (
        400,
        "the form cannot be read ({reason}); send it again as the OpenAPI states",
        "el formulario no se puede leer ({reason}); envíalo de nuevo como dice el OpenAPI",
    ),
    "address": (
        404,
        "there is no such address; see the OpenAPI",
        "no existe esa dirección; consulta el OpenAPI",
    ),
    "field_file": (422, "{name} is a file; it must be text", "{name} es un archivo; debe ser texto"),
    "field_text": (422, "{name} is text; it must be a file", "{name} es texto; debe ser un archivo"),
    "masks": (
        422,
        "mask is there {count} times; send one image for all, or a ZIP of masks",
        "mask está {count} veces; envía una imagen para todo, o un ZIP de máscaras",
    ),
    # Uploads.
    "empty": (422, "the upload is empty; choose a file", "el archivo está vacío; elige otro"),
    "kind": (
        415,
        "the upload is not an image; send PNG, JPEG, WebP, AVIF, HEIC, GIF, BMP or TIFF",
        "el archivo no es una imagen; envía PNG, JPEG, WebP, AVIF, HEIC, GIF, BMP o TIFF",
    ),
    "library": (
        415,
        "the upload is HEIC, which this studio cannot read; send it as JPEG or PNG",
        "el archivo es HEIC, que este estudio no puede leer; envíalo como JPEG o PNG",
    ),
    "damaged": (
        422,
        "the image is damaged or cut short; send it again, or save it anew as PNG",
        "la imagen está dañada o incompleta; envíala de nuevo, o guárdala otra vez como PNG",
    ),
    "pixels": (
        413,
        "the image has {width} x {height} pixels, and at most {most:,} are taken; make it smaller",
        "la imagen tiene {width} x {height} píxeles, y se aceptan {most:,} como máximo; hazla más pequeña",
    ),
    "claims": (
        413,
        "the image claims to have more than {most:,} pixels, the limit here; make it smaller",
        "la imagen dice tener más de {most:,} píxeles, el límite aquí; hazla más pequeña",
    ),
    "disk": (
        503,
        "the disk of the studio is full; ask for room there, and send it again",
        "el disco del estudio está lleno; pide que se libere espacio, y envíalo de nuevo",
    ),
    "bytes": (
        413,
        "the upload has more than {most:,} bytes, the limit here; make it smaller",
        "el archivo tiene más de {most:,} bytes, el límite aquí; hazlo más pequeño",
    ),
    "slow": (
        408,
        "the upload came too slowly and was ended; send it again over a faster connection",
        "el archivo llegó demasiado despacio y se interrumpió; envíalo de nuevo con una conexión más rápida",
    ),
    # Archives, videos and masks of jobs.
    "archive_damaged": (
        422,
        "the ZIP is cut off or damaged ({reason}); pack and upload it again",
        "el ZIP está incompleto o dañado ({reason}); comprímelo y súbelo de nuevo",
    ),
    "zip_directory": (200, "its directory is missing", "falta su directorio"),
    "zip_method": (200, "its compression is not known here", "aquí no se conoce su compresión"),
    "zip_data": (200, "what it holds is damaged", "su contenido está dañado"),
    "zip_layout": (200, "its structure is damaged", "su estructura está dañada"),
    "archive_empty": (
        422,
        "the ZIP holds no image; pack JPEG, PNG or other images",
        "el ZIP no contiene imágenes; comprime imágenes JPEG, PNG u otras",
    ),
    "archive_name": (
        422,
        "the ZIP names a file outside itself ({name}); pack the images without absolute names and without ..",
        "el ZIP nombra un archivo fuera de sí mismo ({name}); comprime las imágenes sin rutas absolutas y sin ..",
    ),
    "archive_link": (
        422,
        "the ZIP holds a link or a device ({name}); pack the images themselves",
        "el ZIP contiene un enlace o un dispositivo ({name}); comprime las imágenes mismas",
    ),
    "archive_encrypted": (
        422,
        "the ZIP is encrypted ({name}); pack the images without a password",
        "el ZIP está cifrado ({name}); comprime las imágenes sin contraseña",
    ),
    "archive_nested": (
        422,
        "the ZIP holds another archive ({name}); pack its images themselves",
        "el ZIP contiene otro archivo comprimido ({name}); comprime directamente las imágenes",
    ),
    "archive_count": (
        413,
        "the ZIP holds more than {most:,} files; upload them in several parts",
        "el ZIP contiene más de {most:,} archivos; súbelos en varias partes",
    ),
    "archive_bytes": (
        413,
        "the ZIP unpacks to more than {most:,} MB; upload the images in several parts",
        "el ZIP descomprimido ocupa más de {most:,} MB; sube las imágenes en varias partes",
    ),
    "archive_bomb": (
        413,
        "the ZIP unpacks to {ratio:,} times its size ({name}), which no photograph does; pack the images again",
        "el ZIP se descomprime a {ratio:,} veces su tamaño ({name}), como ninguna fotografía; comprime las imágenes de "
        "nuevo",
    ),
    "option": (
        422,
        "{option} does not serve {model} here; leave it out: what serves it is {known}",
        "{option} no sirve aquí para {model}; quítala: lo que sirve es {known}",
    ),
    "option_images": (
        422,
        "{option} is for videos, and images were sent; leave it out",
        "{option} es para videos, y llegaron imágenes; quítala",
    ),
    "count": (
        413,
        "the upload holds more than {most:,} images; upload them in several parts",
        "hay más de {most:,} imágenes; súbelas en varias partes",
    ),
    "none": (
        422,
        "none of the {count} files can be used; the first, {name}: {reason}",
        "ninguno de los {count} archivos se puede usar; el primero, {name}: {reason}",
    ),
    "not_known": (
        415,
        "the upload is neither an image, nor a video, nor a ZIP of images, or it is cut off; choose another file",
        "el archivo no es una imagen, ni un video, ni un ZIP de imágenes, o está incompleto; elige otro",
    ),
    "long": (
        413,
        "the video is {minutes:.0f} minutes long, and at most {most:g} are taken; cut it, or use calco translate",
        "el video dura {minutes:.0f} minutos, y se aceptan {most:g} como máximo; recórtalo, o usa calco translate",
    ),
    "frames": (
        413,
        "the video has more than {most:,} frames; cut it, or use calco translate",
        "el video tiene más de {most:,} fotogramas; recórtalo, o usa calco translate",
    ),
    "memory": (
        422,
        "the memory of the studio does not suffice; upload smaller images",
        "la memoria del estudio no alcanza; sube imágenes más pequeñas",
    ),
    "stalled": (
        422,
        "nothing was done for {minutes:.0f} minutes; try a smaller upload",
        "no hubo avance durante {minutes:.0f} minutos; prueba con un archivo más pequeño",
    ),
    "interrupted": (
        422,
        "it was interrupted {times} times at the same place ({reason}); try a smaller upload",
        "se interrumpió {times} veces en el mismo punto ({reason}); prueba con un archivo más pequeño",
    ),
    "defect": (
        422,
        "an error in Calco ended the job ({error}); the terminal of the studio says more",
        "un error de Calco terminó el trabajo ({error}); la terminal del estudio dice más",
    ),
    "model": (422, "{reason}", "el modelo no puede hacerlo: {reason}"),
    "mask_model": (
        422,
        "{model} takes no mask: only models that fill holes do; leave the mask out",
        "{model} no usa máscara: solo la usan los modelos que rellenan zonas; quítala",
    ),
    "mask_kind": (
        415,
        "the mask is not an image; send an image that is white where the model redraws",
        "la máscara no es una imagen; envía una imagen blanca donde el modelo rellena",
    ),
    "mask_archive": (
        422,
        "the mask of a video is one image for all frames, and a ZIP was sent; send an image",
        "la máscara de un video es una imagen para todos los fotogramas, y llegó un ZIP; envía una imagen",
    ),
    "mask_names": (
        422,
        "no mask in the ZIP has the name of an image; name each mask as its image is",
        "ninguna máscara del ZIP se llama como una imagen; nombra cada máscara como su imagen",
    ),
    # Why one file of several is left out, and why a job was interrupted.
    "file_again": (200, "another file of the ZIP has this name", "otro archivo del ZIP tiene este nombre"),
    "file_damaged": (200, "damaged in the ZIP ({reason})", "dañado en el ZIP ({reason})"),
    "file_kind": (200, "not an image, or damaged", "no es una imagen, o está dañada"),
    "end_studio": (200, "the studio was ended", "se cerró el estudio"),
    "end_killed": (
        200,
        "its process was killed, as happens where the memory does not suffice",
        "se mató su proceso, como ocurre cuando la memoria no alcanza",
    ),
    "end_signal": (200, "its process ended by {signal}", "su proceso terminó por {signal}"),
    "end_status": (200, "its process ended with status {status}", "su proceso terminó con el estado {status}"),
    # What is not an error: what a job does, and what it says at its end.
    "frame": (200, "frame {count:,}", "fotograma {count:,}"),
    "frame_of": (200, "frame {count:,} of {total:,}", "fotograma {count:,} de {total:,}"),
    "image": (200, "image {count:,}", "imagen {count:,}"),
    "image_of": (200, "image {count:,} of {total:,}", "imagen {count:,} de {total:,}"),
    "left_out": (
        200,
        "{count:,} of {total:,} files are left out; left_out.txt in the ZIP says why",
        "se omitieron {count:,} de {total:,} archivos; left_out.txt en el ZIP dice por qué",
    ),
    "notes": (200, "{notes}", "{notes}"),
    "video_notes": (200, "{english}", "{spanish}"),
    "delivered": (200, "the result was delivered and deleted", "el resultado se entregó y se borró"),
    "room": (
        200,
        "the result was deleted to make room for others; upload again",
        "el resultado se borró para hacer lugar a otros; súbelo de nuevo",
    ),
}
"""Reason => status of HTTP, and the sentence in English and in Spanish."""

_RULES: Final[Mapping[str, str]] = {
    "missing": "falta este campo",
    "extra_forbidden": "este campo no se conoce; quítalo",
    "json_invalid": "no es JSON válido",
    "model_type": "debe ser un objeto de JSON",
    "string_type": "debe ser texto",
    "string_too_short": "debe tener al menos {min_length} caracteres",
    "string_too_long": "debe tener {max_length} caracteres como máximo",
    "string_pattern_mismatch": "no tiene la forma pedida ({pattern})",
    "int_type": "debe ser un número entero",
    "int_parsing": "debe ser un número entero",
    "int_parsing_size": "el número es demasiado grande",
    "int_from_float": "debe ser un número entero, sin decimales",
    "float_type": "debe ser un número",
    "float_parsing": "debe ser un número",
    "finite_number": "debe ser un número finito",
    "bool_type": "debe ser true o false",
    "bool_parsing": "debe ser true o false",
    "greater_than_equal": "debe ser {ge} o más",
    "less_than_equal": "debe ser {le} o menos",
    "literal_error": "debe ser uno de {expected}",
    "enum": "debe ser uno de {expected}",
}
"""Type of a complaint of pydantic => the rule in Spanish, with the values of its context."""

_AGAIN: Final = {"jobs": 30, "jobs_client": 30, "jobs_room": 30, "disk": 60}
_SOON: Final = 2  # seconds after which to ask again, where the status is 503 and the table has no other time


class RefusedError(CalcoError):
    """A request is not answered as asked, an upload is not taken, or a job cannot be done.

    Args:
        reason: Name of one of `REASONS`.
        values: What stands in the sentence, plain data; numbers take the form of its language.

    Attributes:
        reason: Name of the reason.
        values: What stands in the sentence.
        status: Status of HTTP.
        seconds: Seconds after which to ask again; 0 if that does not help.
        spanish: The message in Spanish.
    """

    def __init__(self, reason: str, /, **values: Any) -> None:
        super().__init__(sentence(reason, values))
        self.reason, self.values = reason, values
        self.status = REASONS[reason][0]
        self.seconds = _AGAIN.get(reason, _SOON) if self.status == 503 else 0
        self.spanish = sentence(reason, values, "es")


def sentence(reason: str, values: Mapping[str, Any], language: Language = "en") -> str:
    """Return what a refusal or a job says, empty without a reason; a value may be a `Said` of its own.

    >>> sentence("jobs", {"most": 3})
    'the queue of jobs is full with 3 waiting; try again later'
    """
    if not reason:
        return ""
    _, english, spanish = REASONS[reason]
    said = {
        name: sentence(value[0], value[1], language) if isinstance(value, tuple | list) else value
        for name, value in values.items()
    }
    return filled(spanish if language == "es" else english, language, said)


def complaint(errors: Sequence[Mapping[str, Any]]) -> RefusedError:
    """Return the first of pydantic's complaints as a refusal: field, rule, what was given, and how many more there are.

    Args:
        errors: What `errors()` of pydantic's and FastAPI's errors of validation return, at least one.
    """
    first, *others = errors
    english = first["msg"][:200]
    context = {name: str(value).replace(" or ", " o ")[:100] for name, value in first.get("ctx", {}).items()}
    rule = _RULES.get(first["type"])
    given = first.get("input")
    shown = isinstance(given, str | int | float) and first["type"] != "json_invalid"
    return RefusedError(
        "field",
        name=".".join(str(part) for part in first["loc"])[:100] or ("field_body", {}),
        english=english,
        spanish=rule.format(**context) if rule else f"no sirve ({english})",
        given=f" ({_short(given)})" if shown else "",
        more=("field_more", {"count": len(others)}) if others else "",
    )


def _short(value: Any) -> str:
    """Return what was given as Python writes it, cut to a few words."""
    written = repr(value[:41] if isinstance(value, str) else value)
    return written if len(written) <= 42 else f"{written[:40]}…"


def without_paths(message: str) -> str:
    """Return a message with file names in place of whole paths: clients need not know the folders of the studio.

    >>> without_paths("cannot read /home/ana/runs/faces/model.json: damaged")
    'cannot read model.json: damaged'
    """
    return _PATH.sub(lambda found: found[0].rpartition("/")[2], message)
