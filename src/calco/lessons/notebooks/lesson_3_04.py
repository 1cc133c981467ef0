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
    return calco, entry, folder, info, np, segmenting


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
    return mask, theirs


@app.cell(hide_code=True)
def _(encode, entry, mask, t, theirs):
    same = encode(mask) == theirs.counts.tolist()
    t(
        es=f"""
        Tu `encode` y la biblioteca dan las mismas longitudes: **{same}**. El campo `area` del archivo dice
        {entry["area"]}, y la máscara tiene {int(mask.sum())} píxeles.

        ## Ejercicios

        **1.** Decodifica a mano `[4, 2, 3, 3]` en una imagen de 3 filas y 4 columnas.
    """,
        en=f"""
        Your `encode` and the library give the same lengths: **{same}**. The field `area` of the file says
        {entry["area"]}, and the mask has {int(mask.sum())} pixels.

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


if __name__ == "__main__":
    app.run()
