"""All words of the studio's pages, in Spanish and in English, and the choice between them."""

import re
from collections.abc import Mapping
from typing import Final

from calco.report.numbers import Language, filled

LANGUAGES: Final[tuple[Language, ...]] = ("es", "en")
COOKIE: Final = "calco_language"
"""Cookie with the language that a person chose by the switch."""

# Key => (Spanish, English). Keys of a job are its name and a suffix: `_title` on its card and page, `_lead` below it,
# `_run` on its button. Values in braces are filled in, in Python by `text` and in the browser by `studio.js`;
# {count:,} groups thousands.
TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    # Every page.
    "skip": ("Ir al contenido", "Skip to the content"),
    "language": ("Idioma", "Language"),
    "nav": ("Páginas", "Pages"),
    "home": ("Inicio", "Home"),
    "footer": (
        "Todo ocurre en este equipo: ninguna imagen sale de él, y nada se guarda tras la entrega.",
        "Everything happens on this machine: no image leaves it, and nothing is kept after delivery.",
    ),
    "made": ("Hecho con Calco {version}", "Made with Calco {version}"),
    "api": ("API REST", "REST API"),
    "script": (
        "Esta página necesita JavaScript; la API REST, no.",
        "This page needs JavaScript; the REST API does not.",
    ),
    # The home page.
    "home_page": ("Estudio", "Studio"),
    "home_title": ("Dibuja, repara, colorea", "Draw, repair, colour"),
    "home_lead": (
        "Elige qué quieres hacer. Funciona aquí mismo, sin conexión.",
        "Choose what you would like to do. It works right here, without a connection.",
    ),
    "home_none": (
        "Todavía no hay ningún modelo. Entrena uno y ábrelo aquí: calco serve runs/mi-modelo",
        "There is no model yet. Train one and open it here: calco serve runs/my-model",
    ),
    "home_more": ("Con cualquier modelo", "With any model"),
    "home_look": ("Para mirar", "To look at"),
    "models": ("Modelos", "Models"),
    "models_lead": (
        "De cada modelo: con qué se entrenó, cuánto acierta y bajo qué licencia está.",
        "Of each model: what it was trained on, how good it is, and its licence.",
    ),
    "about_model": ("Ficha", "Description"),
    "report": ("Informe", "Report"),
    "no_report": ("sin informe", "no report"),
    "with": ("Modelo: {names}", "Model: {names}"),
    "with_many": ("Modelos: {names}", "Models: {names}"),
    # Jobs.
    "sketch_title": ("Del boceto al color", "Sketch to colour"),
    "sketch_lead": (
        "Dibuja con el mouse, el dedo o el teclado: la imagen en color aparece mientras dibujas.",
        "Draw with the mouse, a finger or the keyboard: the colour image appears as you draw.",
    ),
    "sketch_run": ("Dar color", "Colour it"),
    "repair_title": ("Reparar una zona", "Repair a region"),
    "repair_lead": (
        "Pinta sobre un rasguño, una mancha o lo que sobra: el modelo rellena lo que tapas.",
        "Brush over a scratch, a stain or whatever should go: the model fills in what you cover.",
    ),
    "repair_run": ("Reparar", "Repair"),
    "colour_title": ("Color para fotos grises", "Colour for grey photos"),
    "colour_lead": (
        "Elige una foto en blanco y negro y desliza entre el antes y el después.",
        "Choose a black-and-white photo and slide between before and after.",
    ),
    "colour_run": ("Colorear", "Colour it"),
    "colour-repair_title": ("Reparar y colorear", "Repair and colour"),
    "colour-repair_lead": (
        "Pinta sobre los daños de una foto gris: vuelve entera y en color.",
        "Brush over the damage of a grey photo: it comes back whole and in colour.",
    ),
    "colour-repair_run": ("Reparar y colorear", "Repair and colour"),
    "segment_title": ("Qué hay en la foto", "What is in the photo"),
    "segment_lead": (
        "El modelo pinta cada clase de su color sobre la foto; la leyenda dice cuánto ocupa.",
        "The model paints each class over the photo in its colour; the legend tells its share.",
    ),
    "segment_run": ("Segmentar", "Segment"),
    "translate_title": ("Traducir una imagen", "Translate an image"),
    "translate_lead": (
        "Elige una imagen como las del entrenamiento y compara la entrada con la salida.",
        "Choose an image like those of the training, and compare input and output.",
    ),
    "translate_run": ("Traducir", "Translate"),
    "detect_title": ("Detectar objetos", "Detect objects"),
    "detect_lead": (
        "Elige una foto y mueve el umbral: las cajas aparecen y desaparecen al instante.",
        "Choose a photo and move the threshold: boxes come and go at once.",
    ),
    "detect_run": ("Detectar", "Detect"),
    "video_title": ("Video", "Video"),
    "video_lead": (
        "Sube un video. Se procesa en segundo plano; puedes verlo avanzar, cancelarlo y descargar el resultado.",
        "Upload a video. It is processed in the background; you can watch it, cancel it, and download the result.",
    ),
    "video_run": ("Procesar el video", "Process the video"),
    "camera_title": ("Cámara", "Camera"),
    "camera_lead": (
        "La imagen de tu cámara, pasada por el modelo en directo. No se graba nada.",
        "Your camera's image, through the model, live. Nothing is recorded.",
    ),
    "many_title": ("Muchas imágenes", "Many images"),
    "many_lead": (
        "Sube varias imágenes o un ZIP y descarga un ZIP con los resultados.",
        "Upload several images or a ZIP, and download a ZIP with the results.",
    ),
    "many_run": ("Procesar las imágenes", "Process the images"),
    "runs_title": ("Entrenamientos", "Training runs"),
    "runs_lead": (
        "Curvas y muestras de cada entrenamiento, en directo mientras aprende.",
        "Curves and samples of each run, live while it learns.",
    ),
    "crime_title": ("Delitos en el Perú", "Crime in Peru"),
    "crime_lead": (
        "El tablero de robos y denuncias: por qué se dibujan retratos hablados.",
        "The dashboard of robberies and complaints: why the sketches are drawn.",
    ),
    # The same in a word, in the line of pages.
    "sketch_nav": ("Boceto", "Sketch"),
    "repair_nav": ("Reparar", "Repair"),
    "colour_nav": ("Color", "Colour"),
    "colour-repair_nav": ("Reparar y color", "Repair and colour"),
    "segment_nav": ("Clases", "Classes"),
    "translate_nav": ("Traducir", "Translate"),
    "detect_nav": ("Detectar", "Detect"),
    "video_nav": ("Video", "Video"),
    "camera_nav": ("Cámara", "Camera"),
    "many_nav": ("Lotes", "Batches"),
    "runs_nav": ("Entrenamientos", "Runs"),
    "crime_nav": ("Delitos", "Crime"),
    # Controls.
    "model": ("Modelo", "Model"),
    "your_drawing": ("Tu dibujo", "Your drawing"),
    "your_image": ("Tu imagen", "Your image"),
    "your_files": ("Tus archivos", "Your files"),
    "result": ("Resultado", "Result"),
    "variants": ("Variantes", "Variants"),
    "variants_info": (
        "El modelo parte del azar: cada variante usa otra semilla.",
        "The model uses noise: each variant has another seed.",
    ),
    "others": ("Otras variantes", "Other variants"),
    "threshold": ("Umbral", "Threshold"),
    "threshold_info": (
        "Solo se muestran cajas con al menos este puntaje.",
        "Only boxes with at least this score are shown.",
    ),
    "reset": ("Volver al valor inicial", "Back to the first value"),
    "opacity": ("Opacidad de la máscara", "Opacity of the mask"),
    "open_image": ("Abrir una imagen", "Open an image"),
    "open_other": ("Cambiar la imagen", "Change the image"),
    "drop": (
        "o suéltala aquí, o pégala con Ctrl+V",
        "or drop it here, or paste it with Ctrl+V",
    ),
    "example": ("Ver un ejemplo", "Try an example"),
    "pen": ("Lápiz", "Pen"),
    "brush": ("Pincel", "Brush"),
    "eraser": ("Goma", "Eraser"),
    "width": ("Grosor", "Width"),
    "undo": ("Deshacer", "Undo"),
    "clear": ("Borrar todo", "Clear"),
    "canvas_sketch": (
        "Lienzo. Con el teclado: flechas para mover, Mayús y flechas para ir más rápido, espacio para bajar o levantar "
        "el lápiz.",
        "Canvas. By keyboard: arrows move, Shift and arrows move faster, space puts the pen down or lifts it.",
    ),
    "canvas_repair": (
        "Foto para pintar encima. Con el teclado: flechas para mover, Mayús y flechas para ir más rápido, espacio para "
        "bajar o levantar el pincel.",
        "Photo to brush over. By keyboard: arrows move, Shift and arrows move faster, space puts the brush down or "
        "lifts it.",
    ),
    "keyboard_hint": ("Teclado: flechas y espacio", "Keyboard: arrows and space"),
    "download": ("Descargar", "Download"),
    "download_mask": ("Descargar la máscara", "Download the mask"),
    "before": ("antes", "before"),
    "after": ("después", "after"),
    "compare": (
        "Comparar antes y después: flechas izquierda y derecha",
        "Compare before and after: left and right arrows",
    ),
    "empty_sketch": ("Aquí aparecerá la imagen en color.", "The colour image will appear here."),
    "empty": ("Aquí aparecerá el resultado.", "The result will appear here."),
    "working": ("Trabajando…", "Working…"),
    "took": ("Listo en {seconds} s · {width} × {height} px", "Done in {seconds} s · {width} × {height} px"),
    "seed": ("semilla {seed}", "seed {seed}"),
    "output_of": ("Resultado del modelo {name}", "Output of the model {name}"),
    "variant_of": ("Resultado del modelo {name}, semilla {seed}", "Output of the model {name}, seed {seed}"),
    "input_alt": ("Imagen de entrada", "Input image"),
    "boxes": ("{shown:,} de {all:,} objetos", "{shown:,} of {all:,} objects"),
    "boxes_none": (
        "El modelo no encontró ningún objeto en esta imagen.",
        "The model found no object in this image.",
    ),
    "share": ("{share} %", "{share}%"),
    "legend": ("Leyenda", "Legend"),
    # Long jobs.
    "choose_video": ("Elegir un video", "Choose a video"),
    "choose_images": ("Elegir imágenes o un ZIP", "Choose images or a ZIP"),
    "drop_file": ("o suéltalo aquí", "or drop it here"),
    "choose_mask": ("Elegir una máscara", "Choose a mask"),
    "mask_hint": (
        "Blanca donde el modelo rellena: una imagen para todas, o un ZIP con una por imagen, con su mismo nombre. "
        "Sin máscara se rellena lo transparente.",
        "White where the model redraws: one image for all, or a ZIP with one for each image, named as the image is. "
        "Without a mask, what is transparent is redrawn.",
    ),
    "mask_hint_video": (
        "Una imagen del tamaño del video, blanca donde el modelo rellena.",
        "An image of the video's size, white where the model redraws.",
    ),
    "options": ("Opciones", "Options"),
    "option_seed": ("Semilla", "Seed"),
    "option_seed_info": (
        "Un número cualquiera da otra variante; vacío, siempre el mismo resultado.",
        "Any number gives another variant; empty, always the same result.",
    ),
    "option_steady": ("Reducir el parpadeo", "Reduce flicker"),
    "option_steady_info": (
        "Cada fotograma se mezcla con el anterior donde nada cambió. Tarda más.",
        "Each frame is blended with the one before where nothing has changed. It takes longer.",
    ),
    "option_overlay": ("Pintar las clases sobre la imagen", "Paint the classes over the image"),
    "option_overlay_info": ("Sin marcar, el resultado es solo la máscara.", "Unticked, the result is the mask alone."),
    "download_boxes": ("Descargar las cajas (CSV)", "Download the boxes (CSV)"),
    "chosen": ("{name} ({size} MB)", "{name} ({size} MB)"),
    "chosen_many": ("{count:,} archivos ({size} MB)", "{count:,} files ({size} MB)"),
    "uploading": ("Subiendo: {percent} %", "Uploading: {percent}%"),
    "queued": ("En espera", "Waiting"),
    "running": ("Procesando: {percent} %", "Processing: {percent}%"),
    "done": (
        "Listo. El resultado se borra al cabo de un tiempo: descárgalo.",
        "Done. Results are removed after a while: download yours.",
    ),
    "failed": ("No se pudo terminar: {spanish}", "It could not be finished: {english}"),
    "cancelled": ("Cancelado", "Cancelled"),
    "cancel": ("Cancelar", "Cancel"),
    "progress": ("Progreso", "Progress"),
    "preview": ("Vista previa", "Preview"),
    "again": ("Empezar otro", "Start another"),
    # The camera.
    "camera_start": ("Encender la cámara", "Start the camera"),
    "camera_stop": ("Apagar la cámara", "Stop the camera"),
    "camera_rate": ("{rate} imágenes por segundo", "{rate} images per second"),
    "camera_off": ("La cámara está apagada.", "The camera is off."),
    "camera_none": (
        "No se encontró ninguna cámara. Conecta una y vuelve a intentarlo.",
        "No camera was found. Connect one and try again.",
    ),
    "camera_denied": (
        "El navegador no tiene permiso para usar la cámara. Dáselo en la barra de direcciones.",
        "The browser may not use the camera. Allow it in the address bar.",
    ),
    "camera_insecure": (
        "El navegador solo abre la cámara en este equipo (127.0.0.1) o por HTTPS.",
        "The browser opens cameras only on this machine (127.0.0.1) or over HTTPS.",
    ),
    # Training runs.
    "run_training": ("entrenando", "training"),
    "run_ended": ("terminado", "finished"),
    "run_stopped": ("detenido", "stopped"),
    "run_facts": ("paso {step:,} · {minutes:,} min", "step {step:,} · {minutes:,} min"),
    "run_score": ("{name} {value}", "{name} {value}"),
    "run_samples": ("Muestras: entrada, salida, objetivo", "Samples: input, output, target"),
    "run_curves": ("Curvas de aprendizaje", "Learning curves"),
    "run_curves_lead": (
        "Por paso de entrenamiento. Fino: lo medido; grueso: suavizado, con su último valor arriba.",
        "By training step. Thin: as measured; thick: smoothed, with its last value above.",
    ),
    "run_sample": ("Muestras en el paso {step:,}", "Samples at step {step:,}"),
    "run_end_minutes": (
        "La validación seguía mejorando al final: es probable que más minutos ayuden.",
        "{remark}",
    ),
    "run_end_pairs": (
        "La validación ya no mejoraba al final, pero la pérdida de entrenamiento sí: es probable que más datos "
        "ayuden, y más minutos no.",
        "{remark}",
    ),
    "run_end_unclear": ("La validación no muestra si ayudarían más minutos o más datos.", "{remark}"),
    "run_step": ("paso {step:,}", "step {step:,}"),
    "run_live": ("Se actualiza solo.", "Updates by itself."),
    "run_no_samples": ("Todavía no hay muestras.", "There are no samples yet."),
    "run_no_curves": ("Todavía no hay curvas.", "There are no curves yet."),
    "runs_none": (
        "Todavía no hay entrenamientos en esta carpeta. Empieza uno con calco train o calco demo.",
        "There are no runs in this folder yet. Start one with calco train or calco demo.",
    ),
    "all_runs": ("Todos los entrenamientos", "All runs"),
    # The description of a model.
    "model_facts": ("Lo esencial", "In short"),
    "model_scores": ("Puntuaciones guardadas con el modelo", "Scores kept with the model"),
    "model_all": ("Todo lo que dice model.json", "All of model.json"),
    "model_use": ("Usarlo aquí", "Use it here"),
    "fact_job": ("Tarea", "Job"),
    "fact_recipe": ("Receta", "Recipe"),
    "fact_architecture": ("Arquitectura", "Architecture"),
    "fact_images": ("Imágenes de entrenamiento", "Training images"),
    "fact_size": ("Tamaño de entrenamiento", "Training size"),
    "fact_licence": ("Licencia", "Licence"),
    "fact_attribution": ("Atribución", "Attribution"),
    "fact_classes": ("Clases", "Classes"),
    "fact_noise": ("Ruido", "Noise"),
    "fact_version": ("Versión de Calco", "Calco version"),
    "yes": ("sí", "yes"),
    "no": ("no", "no"),
    "pixels": ("{value} px", "{value} px"),
    "number": ("{value:,}", "{value:,}"),
    # What goes wrong.
    "error_no_image": ("Elige antes una imagen.", "Choose an image first."),
    "error_no_drawing": ("Dibuja algo antes.", "Draw something first."),
    "error_no_mask": ("Pinta antes la zona que quieres reparar.", "Brush over what should be repaired first."),
    "error_no_file": ("Elige antes un archivo.", "Choose a file first."),
    "error_not_image": (
        "El navegador no puede abrir {name} como imagen. Prueba con un JPEG o un PNG.",
        "The browser cannot open {name} as an image. Try a JPEG or a PNG.",
    ),
    "error_read": (
        "El archivo ya no se puede leer: cambió o se borró. Elígelo otra vez.",
        "The file can no longer be read: it was changed or removed. Choose it again.",
    ),
    "error_large": (
        "El archivo tiene {size:,} MB, y se aceptan {most:,} MB como máximo. Elige uno más pequeño.",
        "The file has {size:,} MB, and at most {most:,} MB are taken. Choose a smaller one.",
    ),
    "error_large_many": (
        "Los archivos tienen {size:,} MB, y se aceptan {most:,} MB como máximo. Elige menos cada vez.",
        "The files have {size:,} MB, and at most {most:,} MB are taken. Choose fewer at a time.",
    ),
    "error_pixels": (
        "La imagen tiene {width} × {height} píxeles, y se aceptan {most:,} como máximo. Hazla más pequeña.",
        "The image has {width} × {height} pixels, and at most {most:,} are taken. Make it smaller.",
    ),
    "error_job": ("Este trabajo ya no existe. Empieza otro.", "This job no longer exists. Start another."),
    "error_run": ("Este entrenamiento ya no está en la carpeta.", "This run is no longer in the folder."),
    "refused": ("{spanish}", "{english}"),
    "error_image": (
        "El modelo no pudo con esta imagen: {spanish}",
        "The model could not take this image: {english}",
    ),
    "error_upload": (
        "La subida se cortó. Vuelve a intentarlo.",
        "The upload was cut off. Try again.",
    ),
    "error_offline": (
        "El estudio no responde. ¿Sigue en marcha calco serve?",
        "The studio does not answer. Is calco serve still running?",
    ),
    "error_fault": (
        "El estudio falló (estado {status}); su terminal muestra más. Vuelve a intentarlo.",
        "The studio failed (status {status}); its terminal shows more. Try again.",
    ),
    "error_token": (
        "El estudio pide la clave (token) otra vez. Escríbela en la página de inicio en otra pestaña y reinténtalo.",
        "The studio asks for its token again. Enter it on the home page, in another tab, and try again here.",
    ),
    "token": ("La clave (token) que muestra la terminal", "The token that the terminal shows"),
    "token_wrong": (
        "Esa clave no es la correcta. Copia la que muestra la terminal donde se inició calco serve.",
        "This is not the right token. Copy the one that the terminal of calco serve shows.",
    ),
    "error_missing": ("Esta página no existe.", "There is no such page."),
}  # fmt: skip


def text(key: str, language: Language, **values: object) -> str:
    """Return the words of a key, with values filled in.

    Args:
        key: Key of `TEXTS`.
        language: "es" or "en".
        values: What stands in braces.
    """
    sentence = TEXTS[key][LANGUAGES.index(language)]
    return filled(sentence, language, values) if values else sentence


def words(language: Language) -> dict[str, str]:
    """Return all words of a language by key."""
    place = LANGUAGES.index(language)
    return {key: pair[place] for key, pair in TEXTS.items()}


def choose_language(cookie: str | None, accepted: str | None, default: Language = "en") -> Language:
    """Return the language of a browser.

    Args:
        cookie: Value of the cookie `COOKIE`, which the switch sets; it goes first.
        accepted: Header Accept-Language, such as "es-PE,es;q=0.9,en;q=0.8".
        default: Language of browsers that want neither.

    Returns:
        The first of the two languages in the order of preference.
    """
    if cookie in LANGUAGES:
        return cookie
    ranked = []
    for place, part in enumerate((accepted or "").lower().split(",")):
        name, _, rest = part.strip().partition(";")
        quality = re.fullmatch(r"\s*q=(\d(?:\.\d*)?)\s*", rest)
        ranked.append((-float(quality[1]) if quality else -1.0, place, name.split("-")[0]))
    for weight, _place, name in sorted(ranked):
        if weight < 0 and name in LANGUAGES:
            return name
    return default
