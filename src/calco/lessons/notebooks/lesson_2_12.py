import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 2.12 · Aumento de datos en detección · Augmentation for detection")


@app.cell(hide_code=True)
def _():
    from calco.lessons import kit

    language = kit.language()
    language
    return kit, language


@app.cell(hide_code=True)
def _(kit, language):
    t = kit.Texts(language)
    t.head(
        "2.12",
        es="""
        Gira la imagen y mira las cajas. La roja se quedó donde estaba: ahora miente. La amarilla giró con la imagen,
        pero engordó. La verde es la verdadera. En detección, cada transformación de la imagen obliga a preguntar qué
        pasa con las cajas.
        """,
        en="""
        Turn the image, and watch the boxes. The red one stayed where it was: now it lies. The yellow one turned with the
        image, but it grew fat. The green one is true. In detection, each transformation of the image raises the question
        of what happens to the boxes.
        """,
    )
    return (t,)


@app.cell
def _():
    import cv2
    import numpy as np

    import calco
    from calco.lessons import scenes

    data = calco.open_source(scenes.scenes())
    training = [item for item in data.items if item.split == "train"]
    sample = data.load(training[14])
    objects = sample.detections
    return cv2, data, np, objects, sample, training


@app.cell
def _(t):
    angle = t.slider(-45, 45, value=25, es="giro, grados", en="turn, degrees")
    angle
    return (angle,)


@app.cell
def _(angle, boxes_of_masks, frame, kit, move_boxes, objects, rotation, sample, t, warp):
    from calco.detection import iou

    _side = sample.image.shape[0]
    _matrix = rotation(angle.value, _side)
    _fat = move_boxes(objects.boxes, _matrix).clip(0, _side)
    _tight = boxes_of_masks([warp(o.mask.astype("uint8"), _matrix) > 0 for o in objects.outlines])
    still_iou = float(iou(objects.boxes, _tight).diagonal().mean())
    fat_iou = float(iou(_fat, _tight).diagonal().mean())
    _turned = warp(sample.image, _matrix)
    for _boxes, _colour in ((objects.boxes, (230, 40, 40)), (_fat, (250, 210, 40)), (_tight, (40, 190, 70))):
        _turned = frame(_turned, _boxes, _colour)
    kit.mo.vstack(
        [
            t.image(
                _turned,
                es="Las tres respuestas. Dibujos de OpenMoji, CC BY-SA 4.0",
                en="The three answers. Drawings by OpenMoji, CC BY-SA 4.0",
                width=360,
            ),
            t(
                es=f"IoU media con la caja verdadera (verde): roja, sin mover, **{still_iou:.2f}**; amarilla, de las "
                f"esquinas giradas, **{fat_iou:.2f}**.",
                en=f"Mean IoU with the true (green) box: red, not moved, **{still_iou:.2f}**; yellow, of the turned "
                f"corners, **{fat_iou:.2f}**.",
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        En clasificación la etiqueta es una palabra y no se mueve. En detección la etiqueta **vive en el plano de la
        imagen**: si $M$ mueve cada píxel de $p$ a $Mp$, las cajas deben moverse con la misma $M$. Olvidarlo no produce
        ningún error ni aviso; solo una red que aprende de cajas falsas. Es uno de los fallos más caros que existen,
        porque el programa corre y la pérdida baja.

        Una caja es un rectángulo *paralelo a los ejes*. Reflejar, escalar y trasladar la convierten en otra caja
        exacta. Girar no: el rectángulo girado ya no es paralelo a los ejes, y lo mejor que se puede hacer con solo la
        caja es encerrar sus cuatro esquinas en otra:

        $$w' = w\,|\cos\alpha| + h\,|\sin\alpha| \qquad h' = w\,|\sin\alpha| + h\,|\cos\alpha|$$

        Para un cuadrado el área crece por $(|\cos\alpha| + |\sin\alpha|)^2$: a 45°, el doble. Si dentro había un
        objeto redondo, cuya caja verdadera no cambia al girar, la IoU de la caja nueva es apenas
        $1/(\cos\alpha+\sin\alpha)^2 = 1/2$. La red aprende entonces a dibujar cajas demasiado grandes. Quedan dos
        salidas: girar poco (unos 3°), o usar el **contorno** del objeto, si se conoce, y tomar la caja del contorno
        girado.

        ## El código más corto

        Mover cajas son tres líneas: sus cuatro esquinas, la matriz, y la menor caja que las contiene.
        """,
        en=r"""
        ## The idea

        In classification the label is a word, and does not move. In detection the label **lives in the plane of the
        image**: if $M$ moves each pixel from $p$ to $Mp$, the boxes must move by the same $M$. Forgetting it gives no
        error and no warning; only a network that learns from false boxes. It is one of the most expensive mistakes
        there are, since the program runs and the loss falls.

        A box is a rectangle *parallel to the axes*. Mirroring, scaling and shifting turn it into another exact box.
        Turning does not: the turned rectangle is no longer parallel to the axes, and the best that can be done with the
        box alone is to enclose its four corners in another one:

        $$w' = w\,|\cos\alpha| + h\,|\sin\alpha| \qquad h' = w\,|\sin\alpha| + h\,|\cos\alpha|$$

        For a square, the area grows by $(|\cos\alpha| + |\sin\alpha|)^2$: at 45° it doubles. If it held a round object,
        whose true box does not change with the turn, the IoU of the new box is only $1/(\cos\alpha+\sin\alpha)^2 =
        1/2$. The network then learns to draw boxes that are too large. There are two ways out: turn a little (some 3°),
        or use the **outline** of the object, where it is known, and take the box of the turned outline.

        ## The smallest code

        To move boxes takes three lines: their four corners, the matrix, and the smallest box around them.
        """,
    )
    return


@app.cell
def _(cv2, np):
    def rotation(degrees, side):
        """Return the map, 2 x 3, that turns an image about its middle."""
        return cv2.getRotationMatrix2D((side / 2, side / 2), degrees, 1.0)

    def move_boxes(boxes, matrix):
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        moved = corners @ matrix[:, :2].T + matrix[:, 2]
        return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1).astype(np.float32)

    def warp(image, matrix):
        how = cv2.INTER_NEAREST if image.ndim == 2 else cv2.INTER_LINEAR  # labels are not mixed
        grey = 0 if image.ndim == 2 else (114, 114, 114)
        return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=how, borderValue=grey)

    def boxes_of_masks(masks):
        boxes = []
        for mask in masks:
            rows, columns = np.nonzero(mask)
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0] * 4)
        return np.array(boxes, np.float32).reshape(-1, 4)

    def frame(image, boxes, colour):
        image = image.copy()
        for left, top, right, bottom in np.rint(boxes).astype(int).tolist():
            cv2.rectangle(image, (left, top), (right - 1, bottom - 1), colour, 2)
        return image

    return boxes_of_masks, frame, move_boxes, rotation, warp


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Y un detalle de la lección anterior que aquí deja de ser inocente: rellenar los bordes con la imagen
        **reflejada** crea gatos nuevos de dos cabezas, sin caja. Por eso aquí el relleno es gris.

        Otro detalle que se paga caro: **dónde está el píxel**. En Calco el píxel $i$ cubre de $i$ a $i+1$; OpenCV cuenta
        desde los centros. Quien mezcla las dos convenciones desplaza las cajas medio píxel, lo que en un objeto de 8
        píxeles ya baja la IoU a $7{,}5/8{,}5 = 0{,}88$ en un solo eje.

        ## Recortar: cuándo un objeto deja de estar

        Al ampliar o desplazar la imagen, una parte de los objetos sale del cuadro. Hay que **recortar** su caja al
        borde y decidir: ¿la oreja de un gato sigue siendo «gato»? Se mide la *visibilidad*, el área que quedó entre el
        área original, y por debajo de un mínimo el objeto se descarta. Muévelos los dos:
        """,
        en=r"""
        And a detail of the lesson before that is innocent no longer: filling the borders with the **mirrored** image
        creates new cats with two heads, without a box. So the filling is grey here.

        Another detail that is expensive: **where the pixel is**. In Calco, pixel $i$ covers $i$ to $i+1$; OpenCV counts from
        centres. Who mixes the two conventions shifts boxes by half a pixel, which takes the IoU of an object of 8 pixels
        down to $7.5/8.5 = 0.88$ along one axis alone.

        ## Cropping: when an object is no longer there

        When an image is enlarged or shifted, a part of its objects leaves the frame. The box must be **clipped** to the
        border, and a decision made: is the ear of a cat still “cat”? The *visibility* is measured, the area that is left
        over the area before, and below a minimum the object is dropped. Move both:
        """,
    )
    return


@app.cell
def _(kit, t):
    shift = t.slider(0, 120, value=30, es="recorte desde la izquierda, píxeles", en="crop from the left, pixels")
    least = t.slider(0, 1, step=0.05, value=0.2, es="visibilidad mínima", en="minimum visibility")
    kit.mo.vstack([shift, least])
    return least, shift


@app.cell
def _(frame, least, np, objects, sample, shift, t):
    _height, _width = sample.image.shape[:2]
    _window = sample.image[:, shift.value :]
    kept = objects.cropped(shift.value, 0, _width - shift.value, _height, least=least.value)
    clipped = objects.cropped(shift.value, 0, _width - shift.value, _height)
    _all_visible = np.clip(
        np.minimum(objects.boxes[:, 2], _width) - np.maximum(objects.boxes[:, 0], shift.value), 0, None
    )
    visible = _all_visible / (objects.boxes[:, 2] - objects.boxes[:, 0])
    _image = frame(frame(_window, clipped.boxes, (230, 40, 40)), kept.boxes, (40, 190, 70))
    _shares = "; ".join(f"{name} {share:.2f}" for name, share in zip(objects.classes, visible, strict=True))
    t.images(
        (frame(sample.image, objects.boxes, (40, 190, 70)), "la imagen entera", "the whole image"),
        (_image, f"recortada: {len(kept)} de {len(objects)} objetos quedan; visibilidad: {_shares}",
         f"cropped: {len(kept)} of {len(objects)} objects stay; visibility: {_shares}"),
        width=300,
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        No hay un mínimo correcto. Con 0, la red debe llamar «auto» a cuatro píxeles de un parachoques, y aprende a
        inventar. Con 0,9, un auto a medio salir queda sin etiqueta **pero sigue en la imagen**: la red recibe castigo
        por encontrarlo. Calco usa 0,2. En rojo, lo que se recorta pero se descarta. La biblioteca hace lo mismo, con
        los contornos incluidos:
        """,
        en=r"""
        There is no right minimum. With 0, the network must call four pixels of a bumper a “car”, and learns to make
        things up. With 0.9, a car that is half outside has no label **but is still in the image**: the network is
        punished for finding it. Calco takes 0.2. Red: what is clipped and then dropped. The library does the same,
        outlines included:
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.annotations.detections:Detections.cropped")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Mosaico

        El mosaico (YOLOv4, [arXiv 2004.10934](https://arxiv.org/abs/2004.10934)) pega cuatro imágenes alrededor de un
        punto al azar. Con una sola imagen en el lote la red ve cuatro fondos, cuatro escalas y objetos cortados por
        todos lados. Cada caja pasa por tres pasos: se **escala** con su imagen, se **traslada** a su ventana y se
        **recorta** a ella. Esto es lo que ve un detector de Calco en cada época:
        """,
        en=r"""
        ## Mosaic

        A mosaic (YOLOv4, [arXiv 2004.10934](https://arxiv.org/abs/2004.10934)) pastes four images around a random
        point. In one image of the batch the network sees four grounds, four scales, and objects cut on all sides. Each
        box takes three steps: it is **scaled** with its image, **shifted** to its window, and **clipped** to it. This is
        what a detector of Calco sees in each epoch:
        """,
    )
    return


@app.cell
def _(kit, t):
    mosaic = t.slider(0, 1, step=0.25, value=1, es="proporción de mosaicos", en="share of mosaics")
    epoch = t.slider(0, 20, value=0, es="época", en="epoch")
    kit.mo.hstack([mosaic, epoch], justify="start", wrap=True)
    return epoch, mosaic


@app.cell
def _(data, epoch, mosaic, t, training):
    from calco.data.box_augmentation import augmented
    from calco.data.config import BoxAugmentConfig
    from calco.detection import draw_detections

    config = BoxAugmentConfig(mosaic=mosaic.value)
    loaded = [data.load(each) for each in training[:24]]
    made = [
        augmented(loaded.__getitem__, i, len(loaded), 224, config, seed=0, epoch=epoch.value) for i in (3, 8, 15, 20)
    ]
    t.images(
        *(
            (draw_detections(image, found, data.classes), f"{len(found)} objetos", f"{len(found)} objects")
            for image, found in made
        ),
        width=230,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        El orden en `calco.data.box_augmentation` es: escala y lugar (con su reflejo y un giro de a lo más 3°) → luz y
        color → mosaico o imagen sola → parches borrados, que nunca tapan más de la mitad de un objeto → desenfoque,
        ruido y JPEG. Usa OpenCV y no kornia: una imagen a la vez, en un núcleo, es mucho más rápido así, y un detector
        solo necesita movimientos rígidos. kornia hace el trabajo de los traductores de imágenes de Calco, donde la
        imagen también se dobla y la máscara y el par la siguen. La herramienta depende del trabajo.

        En la última parte del entrenamiento (15 %, la opción `--calm`) los mosaicos se apagan: nadie fotografía
        mosaicos, y la red debe terminar viendo imágenes como las que verá.
        """,
        en=r"""
        The order in `calco.data.box_augmentation` is: scale and place (with mirroring, and a turn of 3° at most) → light
        and colour → mosaic or single image → erased patches, which never hide more than half of an object → blur, noise
        and JPEG. It uses OpenCV and not kornia: one image at a time on one core is much faster this way, and a detector
        needs rigid movements alone. kornia does the work of Calco's image translators, where the image is also bent, and
        mask and partner follow it. The tool depends on the job.

        In the last part of training (15%, the option `--calm`) mosaics are off: nobody photographs mosaics, and the
        network is to end on images like those that it will meet.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.data.box_augmentation:augmented", "calco.data.box_augmentation:_transformed")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** Una caja de 60 × 20 píxeles gira 30°. ¿Cuánto miden el ancho y el alto de la caja nueva, y por cuánto se
        multiplica el área? Compruébalo con `move_boxes`.
        """,
        en="""
        ## Exercises

        **1.** A box of 60 × 20 pixels is turned by 30°. What are width and height of the new box, and by how much does the
        area grow? Check it with `move_boxes`.
        """,
    )
    return


@app.cell(hide_code=True)
def _(move_boxes, np, rotation, t):
    _left, _top, _right, _bottom = move_boxes(np.array([[0, 0, 60, 20]], np.float32), rotation(30, 100))[0]
    _w, _h = float(_right - _left), float(_bottom - _top)
    t.solution(
        es=rf"""
        $60\cos 30° + 20\sin 30° = 61{{,}}96$ y $60\sin 30° + 20\cos 30° = 47{{,}}32$. `move_boxes` da {_w:.2f} y
        {_h:.2f}: el área se multiplica por {_w * _h / 1200:.2f}. Un objeto alargado es el peor caso.
        """,
        en=rf"""
        $60\cos 30° + 20\sin 30° = 61.96$ and $60\sin 30° + 20\cos 30° = 47.32$. `move_boxes` gives {_w:.2f} and
        {_h:.2f}: the area is multiplied by {_w * _h / 1200:.2f}. An elongated object is the worst case.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Escribe `mirror_boxes(boxes, width)`, el reflejo de izquierda a derecha. ¿Qué error sale si solo se
        calcula `width - boxes[:, [0, 2]]`?
        """,
        en="""
        **2.** Write `mirror_boxes(boxes, width)`, the mirror image of left and right. Which mistake comes of computing
        `width - boxes[:, [0, 2]]` alone?
        """,
    )
    return


@app.cell(hide_code=True)
def _(np, objects, sample, t):
    def mirror_boxes(boxes, width):
        mirrored = boxes.copy()
        mirrored[:, [0, 2]] = width - boxes[:, [2, 0]]
        return mirrored

    _width = sample.image.shape[1]
    _agree = np.array_equal(mirror_boxes(objects.boxes, _width), objects.mirrored(_width).boxes)
    t.solution(
        es=f"""
        ```python
        mirrored[:, [0, 2]] = width - boxes[:, [2, 0]]
        ```

        Izquierda y derecha **cambian de papel**. Sin el intercambio, la izquierda queda a la derecha de la derecha: una
        caja invertida, de área cero, que los filtros descartan en silencio. Coincide con `Detections.mirrored`:
        **{_agree}**.
        """,
        en=f"""
        ```python
        mirrored[:, [0, 2]] = width - boxes[:, [2, 0]]
        ```

        Left and right **exchange their parts**. Without the exchange, left lies to the right of right: an inverted box
        of area zero, which filters drop in silence. It agrees with `Detections.mirrored`: **{_agree}**.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** En el deslizador del recorte, busca un valor en que un objeto se ve a simple vista pero ya no tiene caja.
        ¿Qué le enseña eso a la red, y cómo se evita sin cambiar el mínimo?
        """,
        en="""
        **3.** With the slider of the crop, find a value at which an object can be seen but no longer has a box. What does
        this teach the network, and how can it be avoided without changing the minimum?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Que esos píxeles son fondo: cada acierto ahí cuenta como falsa alarma. Se puede marcar el objeto como
        **ignorado** en vez de borrarlo (la pérdida no cuenta los puntos dentro de su caja), o tapar con gris lo que
        quedó sin etiqueta.
        """,
        en="""
        That these pixels are background: each hit there counts as a false alarm. The object may be marked as **ignored**
        instead of deleted (the loss does not count the points inside its box), or what is left without a label may be
        covered with grey.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
