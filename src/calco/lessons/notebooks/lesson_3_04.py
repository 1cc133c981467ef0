import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 3.4 · ¿Cómo es un conjunto de datos de segmentación? · What does a segmentation data set look like?",
)


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
        "3.4",
        es="""
        Una máscara de 36 864 píxeles cabe en una línea de texto. Aquí ves las cuatro formas en que se guarda una
        segmentación (imagen, paleta, recorridos y polígonos) y codificas y decodificas una a mano.
    """,
        en="""
        A mask of 36,864 pixels fits into one line of text. Here are the four forms in which a segmentation is
        stored (image, palette, run lengths and polygons), and you encode and decode one by hand.
    """,
    )
    return (t,)


@app.cell
def _():
    import json

    import numpy as np

    import calco
    from calco.lessons import segmenting
    from calco.lessons.scenes import scenes

    folder = scenes()
    coco = json.loads((folder / "annotations" / "train.json").read_text(encoding="utf-8"))
    entry = coco["annotations"][0]
    info = next(each for each in coco["images"] if each["id"] == entry["image_id"])
    entry
    return calco, coco, entry, folder, info, json, np, segmenting


@app.cell
def _(calco, folder, info, t):
    scene = calco.read_image(folder / "images" / info["file_name"])
    painting = calco.read_image(folder / "masks" / info["file_name"])
    t.images(
        (scene, "la imagen (OpenMoji, CC BY-SA 4.0)", "the image (OpenMoji, CC BY-SA 4.0)"),
        (painting, "su máscara, pintada", "its mask, painted"),
        width=300,
    )
    return (painting,)


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        **1. Imagen de máscara.** Un archivo del mismo tamaño, sin pérdida (PNG, nunca JPEG: inventa colores en los
        bordes). Guarda el número de la clase (0, 1, 2, …: se ve casi negro) o un color por clase.

        **2. Paleta.** La tabla que une colores y clases. Sin ella, un píxel $(0, 0, 0)$ no significa nada. Muchos
        conjuntos reservan además 255 como *void*: píxeles que nadie anotó y que no cuentan en la pérdida.

        **3. Recorridos (RLE).** La máscara de *un* objeto como longitudes alternadas: cuántos ceros, cuántos unos,
        cuántos ceros… COCO recorre la imagen por columnas, de arriba hacia abajo, y empieza siempre por los ceros.

        **4. Polígonos.** Los vértices del contorno $(x_1, y_1), (x_2, y_2), \dots$ Son livianos y fáciles de
        editar, pero no tienen huecos y redondean el borde.

        Esta es la paleta de nuestras escenas:
    """,
        en=r"""
        ## The idea

        **1. Mask image.** A file of the same size, without loss (PNG, never JPEG: it invents colours at borders).
        It holds the number of the class (0, 1, 2, …: it looks almost black) or one colour for each class.

        **2. Palette.** The table that joins colours and classes. Without it, a pixel $(0, 0, 0)$ means nothing.
        Many data sets also reserve 255 as *void*: pixels that nobody annotated, and that do not count in the loss.

        **3. Run lengths (RLE).** The mask of *one* object as lengths in turns: how many zeros, how many ones, how
        many zeros… COCO goes by columns, from top to bottom, and always begins with the zeros.

        **4. Polygons.** The corners of the outline $(x_1, y_1), (x_2, y_2), \dots$ They are light and easy to edit,
        but have no holes and round the border.

        This is the palette of our scenes:
    """,
    )
    return


@app.cell
def _(np, painting, segmenting, t):
    colours, counts = np.unique(painting.reshape(-1, 3), axis=0, return_counts=True)
    present = {tuple(map(int, colour)): int(count) for colour, count in zip(colours, counts, strict=True)}
    t.table(
        [
            {
                t.pick("número", "number"): number,
                t.pick("clase", "class"): name,
                "RGB": str(tuple(colour)),
                t.pick("píxeles en esta imagen", "pixels in this image"): present.get(tuple(colour), 0),
            }
            for number, (name, colour) in enumerate(segmenting.PALETTE)
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ¿Por qué nunca JPEG? Guárdala así y mira qué vuelve. Cada píxel cuyo color no está en la paleta es un píxel sin
        clase; si se le da la del color más cercano, algunos cambian de clase:
    """,
        en="""
        Why never JPEG? Store it that way, and see what comes back. Each pixel whose colour is not in the palette is a
        pixel without a class; if it is given that of the nearest colour, some change class:
    """,
    )
    return


@app.cell
def _(t):
    quality = t.slider(10, 100, step=5, value=50, es="calidad del JPEG", en="quality of the JPEG")
    quality
    return (quality,)


@app.cell
def _(np, painting, quality, segmenting, t):
    import io

    from PIL import Image

    def stored(image, kind, **options):
        """The bytes of an image file."""
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    def nearest_class(image):
        """Class of the palette whose colour is nearest, and whether the colour is exactly in the palette."""
        palette = np.array([colour for _, colour in segmenting.PALETTE])
        distance = ((image[..., None, :].astype(int) - palette) ** 2).sum(-1)
        return distance.argmin(-1).astype(np.uint8), distance.min(-1) == 0

    classes, _ = nearest_class(painting)
    as_jpeg = stored(Image.fromarray(painting), "JPEG", quality=quality.value)
    returned = np.array(Image.open(io.BytesIO(as_jpeg)))
    guessed, exact = nearest_class(returned)
    colours_found = len(np.unique(returned.reshape(-1, 3), axis=0))
    t.images(
        (returned, f"JPEG: {colours_found} colores", f"JPEG: {colours_found} colours"),
        ((~exact).astype(np.uint8) * 255, f"{(~exact).mean():.1%} sin clase", f"{(~exact).mean():.1%} without a class"),
        ((guessed != classes).astype(np.uint8) * 255, f"{(guessed != classes).sum()} píxeles cambian de clase",
         f"{(guessed != classes).sum()} pixels change class"),
        width=230,
    )  # fmt: skip
    return Image, classes, io, stored


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## El código más corto

        Codificar: aplana por columnas, busca dónde cambia el valor y anota las distancias. Decodificar: repite 0 y
        1 tantas veces como digan las longitudes.
    """,
        en="""
        ## The smallest code

        Encode: flatten by columns, find where the value changes, and note the distances. Decode: repeat 0 and 1 as
        often as the lengths say.
    """,
    )
    return


@app.cell
def _(np):
    def encode(mask):
        lengths, value, run = [], False, 0
        for pixel in mask.T.ravel():  # the transpose makes rows of columns
            if pixel != value:
                lengths.append(run)
                value, run = pixel, 0
            run += 1
        return [*lengths, run]

    def decode(lengths, height, width):
        flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
        return flat.reshape(width, height).T

    tiny = np.array([[0, 1, 1, 0], [0, 1, 1, 1], [1, 0, 0, 0]], bool)
    encode(tiny), bool((decode(encode(tiny), 3, 4) == tiny).all())
    return decode, encode


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Aquí puedes hacer la tuya: un disco de radio y centro variables.
    """,
        en="""
        Make one of your own: a disc of variable radius and place.
    """,
    )
    return


@app.cell
def _(kit, t):
    radius = t.slider(1, 15, value=6, es="radio", en="radius")
    across = t.slider(0, 31, value=16, es="x", en="x")
    kit.mo.hstack([radius, across], justify="start")
    return across, radius


@app.cell
def _(across, encode, np, radius, t):
    _rows, _columns = np.mgrid[:32, :32]
    disc = (_rows - 16) ** 2 + (_columns - across.value) ** 2 <= radius.value**2
    runs = encode(disc)
    t.image(
        disc.astype(np.uint8) * 255,
        es=f"{disc.size} píxeles, {len(runs)} longitudes: {runs[:9]}…",
        en=f"{disc.size} pixels, {len(runs)} lengths: {runs[:9]}…",
        width=320,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## La cadena de COCO

        COCO comprime todavía más. Desde la cuarta longitud guarda la *diferencia* con la de dos lugares antes
        (columnas vecinas se parecen), y cada número se corta en grupos de 5 bits, más uno que dice si sigue otro;
        se le suma 48 y se escribe como letra. La biblioteca:
    """,
        en="""
        ## COCO's string

        COCO compresses further. From the fourth length on it stores the *difference* from that two places before
        (neighbouring columns are similar), and each number is cut into groups of 5 bits, with one more that says
        whether another follows; 48 is added, and the result is a letter. The library:
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.annotations.geometry:Runs.of_string", "calco.annotations.geometry:Runs.string")
    return


@app.cell
def _(decode, entry, info, kit, np, t):
    from calco.annotations.geometry import Runs, rings

    text = entry["segmentation"]["counts"]
    theirs = Runs.of_string(text, info["height"], info["width"])
    mask = decode(theirs.counts, info["height"], info["width"])
    polygon = rings(mask)[0]
    _figure, _axes = kit.plot(4.2, 3.6)
    _axes.imshow(mask, cmap="gray")
    _axes.plot(*np.append(polygon, polygon[:1], 0).T, "-", color="tomato")
    _x, _y, _w, _h = entry["bbox"]
    _axes.set(xlim=(_x - 5, _x + _w + 5), ylim=(_y + _h + 5, _y - 5))
    t.image(
        _figure,
        es=f"El primer objeto: {mask.sum()} píxeles, {len(text)} letras y un contorno de {len(polygon)} vértices",
        en=f"The first object: {mask.sum()} pixels, {len(text)} letters, and an outline of {len(polygon)} corners",
        width=440,
    )
    return Runs, mask, rings, theirs


@app.cell(hide_code=True)
def _(encode, entry, mask, t, theirs):
    same = encode(mask) == theirs.counts.tolist()
    t(
        es=f"""
        Tu `encode` y la biblioteca dan las mismas longitudes: **{same}**. El campo `area` del archivo dice
        {entry["area"]}, y la máscara tiene {int(mask.sum())} píxeles.

        ## Ida y vuelta

        Un formato se prueba así: guarda, lee y compara. PNG y RLE devuelven *exactamente* lo mismo. Un polígono,
        solo si conserva cada escalón del borde; casi nadie los conserva. Quien anota a mano pone un vértice cada
        tantos píxeles, y los programas los eliminan mientras el contorno no se aparte más de una **tolerancia**
        $\\varepsilon$ (Douglas y Peucker, 1973). Mueve la tolerancia: ahorra letras y pierde IoU.
        """,
        en=f"""
        Your `encode` and the library give the same lengths: **{same}**. The field `area` of the file says
        {entry["area"]}, and the mask has {int(mask.sum())} pixels.

        ## There and back

        This is how a format is tested: store, read, compare. PNG and RLE give back *exactly* the same. A polygon does
        so only if it keeps each step of the border, and hardly any does. Who annotates by hand sets a corner every so
        many pixels, and programs remove corners as long as the outline stays within a **tolerance** $\\varepsilon$
        (Douglas and Peucker, 1973). Move the tolerance: it saves letters and loses IoU.
        """,
    )
    return


@app.cell
def _(t):
    tolerance = t.slider(0, 8, step=0.25, value=1, es="tolerancia ε, píxeles", en="tolerance ε, pixels")
    tolerance
    return (tolerance,)


@app.cell
def _(json, mask, np, rings):
    import cv2

    from calco.annotations.geometry import fill

    def simplified(mask, epsilon):
        """The outlines of a mask with fewer corners, as COCO writes them, and the mask that they give."""
        outlines = [cv2.approxPolyDP(ring, epsilon, True)[:, 0] for ring in rings(mask)]
        outlines = [each for each in outlines if len(each) >= 3]  # two corners enclose nothing
        text = json.dumps([np.round(each, 2).ravel().tolist() for each in outlines], separators=(",", ":"))
        again = np.zeros_like(mask)
        for each in outlines:
            again ^= fill(each, *mask.shape)  # even-odd: a hole inside is taken away again
        return sum(map(len, outlines)), text, again

    def mask_iou(a, b):
        return float((a & b).sum() / (a | b).sum())

    exactly = simplified(mask, 0)
    exactly[0], len(exactly[1]), mask_iou(mask, exactly[2])
    return cv2, fill, mask_iou, simplified


@app.cell
def _(entry, kit, mask, mask_iou, np, simplified, t, tolerance):
    kept_corners, written, drawn_again = simplified(mask, tolerance.value)
    _levels = np.arange(0, 8.1, 0.5)
    _found = [simplified(mask, e) for e in _levels]
    _figure, (_left, _right) = kit.plot(7.4, 3, columns=2)
    _shown = np.zeros((*mask.shape, 3))
    _shown[mask & drawn_again] = 0.9
    _shown[drawn_again & ~mask] = (0.9, 0.3, 0.25)
    _shown[mask & ~drawn_again] = (0.3, 0.55, 0.95)
    _left.imshow(_shown)
    _x, _y, _w, _h = entry["bbox"]
    _left.set(xlim=(_x - 5, _x + _w + 5), ylim=(_y + _h + 5, _y - 5), xticks=[], yticks=[])
    _left.grid(visible=False)
    _right.plot([len(text) for _, text, _ in _found], [mask_iou(mask, again) for *_, again in _found], "o-")
    _right.plot(len(written), mask_iou(mask, drawn_again), "s", color="tomato", markersize=9)
    _right.set(xscale="log", xlabel=t.pick("letras del polígono", "letters of the polygon"), ylabel="IoU")
    t.image(
        _figure,
        es=f"ε = {tolerance.value}: {kept_corners} vértices, {len(written)} letras, IoU {mask_iou(mask, drawn_again):.3f}. "
        "Rojo: sobra; azul: falta",
        en=f"ε = {tolerance.value}: {kept_corners} corners, {len(written)} letters, IoU {mask_iou(mask, drawn_again):.3f}. "
        "Red: too much; blue: missing",
        width=680,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Cuánto ocupa cada forma

        La misma escena, entera, en siete formas. «Iguales» compara, píxel por píxel, lo que se vuelve a leer:
    """,
        en="""
        ## What each form takes

        The same scene as a whole, in seven forms. "The same" compares, pixel by pixel, what is read back:
    """,
    )
    return


@app.cell
def _(Image, Runs, classes, coco, info, io, np, painting, simplified, stored, t):
    _indexed = Image.fromarray(classes)
    _indexed.putpalette([0, 0, 0, 230, 80, 70, 70, 140, 230, 250, 200, 60])  # only how viewers show it
    _entries = [each for each in coco["annotations"] if each["image_id"] == info["id"]]
    _texts = [each["segmentation"]["counts"] for each in _entries]
    _masks = [Runs.of_string(text, info["height"], info["width"]).mask() for text in _texts]
    _polygons = {e: [simplified(each, e) for each in _masks] for e in (0, 1)}
    _covered = np.any(_masks, 0)

    def _back(data):
        return np.array(Image.open(io.BytesIO(data)))

    _png, _rgb, _jpeg = stored(_indexed, "PNG"), stored(Image.fromarray(painting), "PNG"), stored(Image.fromarray(painting), "JPEG", quality=90)  # fmt: skip
    rows = [
        (t.pick("sin comprimir, un byte por píxel", "raw, a byte per pixel"), classes.size, 1.0),
        (t.pick("PNG con paleta", "PNG with a palette"), len(_png), (_back(_png) == classes).mean()),
        (t.pick("PNG en RGB", "PNG in RGB"), len(_rgb), (_back(_rgb) == painting).all(-1).mean()),
        ("JPEG 90", len(_jpeg), (_back(_jpeg) == painting).all(-1).mean()),
        ("RLE (COCO)", sum(map(len, _texts)), (_covered == (classes > 0)).mean()),
        *[
            (
                t.pick(f"polígonos, ε = {e}", f"polygons, ε = {e}"),
                sum(len(text) for _, text, _ in found),
                (np.any([again for *_, again in found], 0) == _covered).mean(),
            )
            for e, found in _polygons.items()
        ],
    ]
    t.table(
        [
            {
                t.pick("forma", "form"): name,
                "bytes": size,
                t.pick("píxeles iguales al volver a leer", "pixels the same when read back"): f"{same_pixels:.2%}",
            }
            for name, size, same_pixels in rows
        ]
    )
    return (rows,)


@app.cell(hide_code=True)
def _(rows, t):
    _sizes = {name: size for name, size, _ in rows}
    _raw, _png, _, _jpeg, _rle, _exact, _loose = _sizes.values()
    t(
        es=f"""
        El PNG con paleta ocupa {_raw / _png:.0f} veces menos que los bytes crudos. El JPEG ocupa
        {_jpeg / _png:.0f} veces *más* que él y además se equivoca: está hecho para fotos, sin bordes duros. El polígono
        exacto ({_exact} letras) es la peor manera de guardar un borde de píxeles; con ε = 1 baja a {_loose}.

        ¿Cuál se elige? La pregunta es qué hay que guardar. Una imagen de máscara no puede decir que **dos autos son
        dos**, ni que un objeto sigue *debajo* de otro: para eso están los RLE y los polígonos, uno por objeto. Por eso
        COCO guarda objetos, y Cityscapes y VOC guardan también imágenes.

        ## El píxel que no cuenta

        ¿De qué clase es un píxel a medio camino entre el pelo y el cielo? Dos personas no se ponen de acuerdo, así que
        los conjuntos serios marcan una franja con **255**, y la pérdida y la IoU la saltan. En PyTorch es
        `ignore_index=255`. Aquí comparamos dos anotaciones de nuestra escena: la original y otra corrida un píxel en
        diagonal, como la haría otra persona. Ensancha la franja:
        """,
        en=f"""
        The PNG with a palette takes {_raw / _png:.0f} times less than the raw bytes. The JPEG takes
        {_jpeg / _png:.0f} times *more* than it, and is wrong besides: it is made for photographs, without hard edges.
        The exact polygon ({_exact} letters) is the worst way to store a border of pixels; with ε = 1 it falls to
        {_loose}.

        Which one is chosen? The question is what has to be kept. An image of a mask cannot say that **two cars are
        two**, nor that an object goes on *below* another: that is what RLE and polygons are for, one for each object.
        So COCO stores objects, and Cityscapes and VOC store images as well.

        ## The pixel that does not count

        What is the class of a pixel half way between hair and sky? Two people do not agree, so careful data sets mark a
        strip with **255**, and the loss and the IoU leave it out. In PyTorch that is `ignore_index=255`. Here we
        compare two annotations of our scene: the original, and one shifted by a pixel diagonally, as another person
        might draw it. Widen the strip:
        """,
    )
    return


@app.cell
def _(t):
    strip = t.slider(0, 6, value=0, es="ancho de la franja, píxeles a cada lado", en="width of the strip, pixels on each side")  # fmt: skip
    strip
    return (strip,)


@app.cell
def _(classes, cv2, np, segmenting, strip, t):
    import torch

    second = np.roll(classes, (1, 1), (0, 1))

    def with_void(classes, width):
        """Classes with 255 wherever another class is at most `width` pixels away."""
        square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
        return np.where(cv2.dilate(classes, square) != cv2.erode(classes, square), 255, classes)

    def agreement(width):
        """Void pixels, mean IoU and cross-entropy of the second annotator, who is 98 % sure, against the first."""
        truth = with_void(classes, width)
        counted = truth != 255
        scores = segmenting.ious(segmenting.confusion(truth[counted], second[counted]))
        logits = torch.full((1, 4, *classes.shape), 0.02 / 3).log()
        logits.scatter_(1, torch.from_numpy(second.astype(np.int64))[None, None], float(np.log(0.98)))
        target = torch.from_numpy(truth.astype(np.int64))[None]
        loss = torch.nn.functional.cross_entropy(logits, target, ignore_index=255)
        return 1 - counted.mean(), float(np.nanmean(scores[1:])), float(loss)

    void, mean_iou, loss = agreement(strip.value)
    _truth = with_void(classes, strip.value)
    _shown = segmenting.painted(np.where(_truth == 255, 0, _truth))
    _shown[_truth == 255] = 255
    t.images(
        (_shown, f"blanco: {void:.1%} no cuenta", f"white: {void:.1%} does not count"),
        ((_truth != second).astype(np.uint8) * (_truth != 255) * 255, f"desacuerdos: IoU {mean_iou:.3f}, pérdida {loss:.3f}",
         f"disagreement: IoU {mean_iou:.3f}, loss {loss:.3f}"),
        width=300,
    )  # fmt: skip
    return (agreement,)


@app.cell(hide_code=True)
def _(agreement, t):
    _none, _two = agreement(0), agreement(2)
    t(
        es=f"""
        Sin franja, las dos anotaciones coinciden con una IoU de {_none[1]:.3f}: es el **techo** de cualquier red en
        esta escena si la mide la otra persona. Con dos píxeles a cada lado la IoU es {_two[1]:.3f} y la pérdida baja de
        {_none[2]:.3f} a {_two[2]:.3f}; a cambio, el {_two[0]:.1%} de la imagen ya no se mide, y es justo el borde.
        Compara puntajes solo entre franjas iguales.

        ## Lo que sale mal, y cómo se ve

        - **La máscara se ve negra**: guarda 0, 1, 2, 3. No está vacía: mírala con paleta.
        - **Aparecen clases que no existen**: JPEG, o un cambio de tamaño con promedio (lección 3.5).
        - **La pérdida dice que el destino 255 está fuera de rango**: falta `ignore_index`.
        - **El objeto sale traspuesto o en franjas**: se leyó un RLE por filas, y COCO va por columnas.
        - **La clase 0 de un archivo es el fondo y la del otro, la primera clase**: COCO no numera el fondo; una
          máscara sí.

        ## Ejercicios

        **1.** Decodifica a mano `[4, 2, 3, 3]` en una imagen de 3 filas y 4 columnas.
    """,
        en=f"""
        Without a strip the two annotations agree with an IoU of {_none[1]:.3f}: it is the **ceiling** of any network
        on this scene if the other person measures it. With two pixels on each side the IoU is {_two[1]:.3f}, and the
        loss falls from {_none[2]:.3f} to {_two[2]:.3f}; in exchange {_two[0]:.1%} of the image is no longer measured,
        and that is the border itself. Compare scores only between equal strips.

        ## What goes wrong, and how one sees it

        - **The mask looks black**: it holds 0, 1, 2, 3. It is not empty: look at it with a palette.
        - **Classes appear that do not exist**: JPEG, or a change of size by averaging (lesson 3.5).
        - **The loss says that target 255 is out of bounds**: `ignore_index` is missing.
        - **The object comes out transposed or in stripes**: an RLE was read by rows, and COCO goes by columns.
        - **Class 0 is the background in one file, and the first class in the other**: COCO does not number the
          background; a mask does.

        ## Exercises

        **1.** Decode `[4, 2, 3, 3]` by hand, in an image of 3 rows and 4 columns.
    """,
    )
    return


@app.cell(hide_code=True)
def _(decode, t):
    _answer = "\n".join("    " + " ".join(map(str, row)) for row in decode([4, 2, 3, 3], 3, 4).astype(int))
    t.solution(
        es=f"Por columnas son 000, 011, 000, 111. Es decir:\n\n{_answer}",
        en=f"By columns they are 000, 011, 000, 111. That is:\n\n{_answer}",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** ¿Qué máscara de 32 × 32 tiene el RLE más largo? ¿Cuántas longitudes?
    """,
        en="""
        **2.** Which mask of 32 × 32 has the longest RLE? How many lengths?
    """,
    )
    return


@app.cell(hide_code=True)
def _(encode, np, t):
    _board = np.indices((32, 32)).sum(0) % 2 == 0
    t.solution(
        es=rf"""
        La que cambia en cada paso del recorrido: rayas horizontales de un píxel, que dan 1024 longitudes, y una más (un 0) si
        el primer píxel es 1. El tablero de ajedrez se acerca: {len(encode(_board))}, porque al pasar de columna repite color.
        RLE comprime regiones, no texturas.
        """,
        en=rf"""
        The one that changes at each step: horizontal stripes of one pixel, with 1024 lengths, and one more (a 0) if the
        first pixel is 1. The chessboard is near: {len(encode(_board))}, because a colour repeats from column to column. RLE
        compresses regions, not textures.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** Un anillo (un disco con un hueco) tiene dos contornos. ¿Qué pasa si COCO guarda los dos como dos
        polígonos y un programa rellena cada uno y los une? Pruébalo con `rings` y `fill`.
    """,
        en="""
        **3.** A ring (a disc with a hole) has two outlines. What happens if COCO stores them as two polygons, and a
        program fills each and joins them? Try it with `rings` and `fill`.
    """,
    )
    return


@app.cell(hide_code=True)
def _(fill, mask_iou, np, rings, t):
    _rows, _columns = np.mgrid[:64, :64] - 32
    _ring = (_rows**2 + _columns**2 <= 24**2) & (_rows**2 + _columns**2 > 12**2)
    _both = [fill(each, 64, 64) for each in rings(_ring)]
    t.solution(
        es=f"""
        La unión tapa el hueco: IoU {mask_iou(_ring, _both[0] | _both[1]):.3f} con el anillo. Con la regla par-impar
        (`^`), {mask_iou(_ring, _both[0] ^ _both[1]):.3f}. Los polígonos de COCO se unen y no saben de huecos; por eso
        Calco escribe RLE.
        """,
        en=f"""
        The union covers the hole: an IoU of {mask_iou(_ring, _both[0] | _both[1]):.3f} with the ring. By the even-odd
        rule (`^`), {mask_iou(_ring, _both[0] ^ _both[1]):.3f}. Polygons of COCO are joined and know no holes; so Calco
        writes RLE.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
