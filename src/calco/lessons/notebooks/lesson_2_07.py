import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 2.7 · Usar un conjunto de datos de detección · Using a detection data set",
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
        "2.7",
        es="""
        Un conjunto de datos de detección no es más que imágenes y, para cada una, una lista de cajas con su clase. Aquí
        tienes uno entero, con sus tres partes.
        """,
        en="""
        A detection data set is no more than images and, for each of them, a list of boxes with their classes. Here is a
        whole one, with its three parts.
        """,
    )
    return (t,)


@app.cell(hide_code=True)
def _():

    import calco
    from calco import detection
    from calco.annotations import read_annotations
    from calco.lessons.scenes import scenes

    return calco, detection, read_annotations, scenes


@app.cell
def _(read_annotations, scenes):
    folder = scenes()  # made by calco.prepare on the first call; drawings from OpenMoji, CC BY-SA 4.0
    annotations = read_annotations(folder / "annotations", folder / "images")
    parts = {}
    for _record in annotations.records:
        parts.setdefault(_record.name.split("/")[0], []).append(_record)
    {name: len(records) for name, records in parts.items()}
    return annotations, parts


@app.cell(hide_code=True)
def _(annotations, calco, detection, parts, t):
    _shown = []
    for _name, _es, _en in (
        ("train", "entrenamiento", "training"),
        ("val", "validación", "validation"),
        ("test", "prueba", "test"),
    ):
        for _record in parts[_name][1:3]:
            _objects = _record.detections
            _picture = detection.draw_detections(
                calco.read_image(_record.image), _objects.select(range(len(_objects))), annotations.classes
            )
            _shown.append((_picture, f"{_es}: {_record.name}", f"{_en}: {_record.name}"))
    t.images(*_shown, width=210)
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué hay en la carpeta

        ```
        scenes/
          images/       train/  val/  test/       las imágenes
          masks/        train/  val/  test/       las máscaras (parte 3 del curso)
          annotations/  train.json  val.json  test.json     las cajas, en formato COCO
        ```

        Lo escribió `calco.prepare` con la receta `composite`: recorta dibujos, los pega sobre fondos y anota lo que
        pegó. Con recortes de tus propios objetos sobre fotos tuyas obtienes un conjunto sin anotar una sola caja a
        mano.

        ## Tres partes, tres usos

        - **Entrenamiento**: la red ajusta sus pesos con estas imágenes.
        - **Validación**: no aprende de ellas, pero tú decides mirándolas: cuándo parar, qué umbral, qué red. Así que
          también se gastan.
        - **Prueba**: se mira una sola vez, al final. Es la única que dice cuánto vale el detector con imágenes nuevas.

        ¿Quién decide qué imagen va adónde? Un sorteo cambiaría al añadir imágenes. Calco usa un **hash** del nombre: la
        imagen cae siempre en el mismo lado, hoy y dentro de un año.
        """,
        en="""
        ## What is in the folder

        ```
        scenes/
          images/       train/  val/  test/       the images
          masks/        train/  val/  test/       the masks (part 3 of the course)
          annotations/  train.json  val.json  test.json     the boxes, in COCO's format
        ```

        `calco.prepare` wrote it with the recipe `composite`: it cuts out drawings, pastes them on grounds, and
        annotates what it pasted. With cut-outs of your own objects on photographs of your own, you obtain a set without
        annotating a single box by hand.

        ## Three parts, three uses

        - **Training**: the network adjusts its weights on these images.
        - **Validation**: it does not learn from them, but you decide by looking at them: when to stop, which threshold,
          which network. So they are used up too.
        - **Test**: looked at once, at the end. Only this part says what the detector is worth on new images.

        Who decides which image goes where? A lottery would change when images are added. Calco uses a **hash** of the
        name: an image always falls on the same side, today and a year from now.
        """,
    )
    return


@app.cell
def _():
    import hashlib

    def part_of(name, validation=0.1, test=0.1):
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64  # evenly in [0, 1)
        return "val" if number < validation else "test" if number < validation + test else "train"

    return (part_of,)


@app.cell
def _(t):
    amount = t.slider(20, 2000, step=20, value=160, es="imágenes", en="images")
    amount
    return (amount,)


@app.cell
def _(amount, part_of):
    sides = [part_of(f"scene {number}") for number in range(amount.value)]
    shares = {part: sides.count(part) / len(sides) for part in ("train", "val", "test")}
    moved = sum(part_of(f"scene {number}") != side for number, side in enumerate(sides))
    return moved, shares


@app.cell(hide_code=True)
def _(amount, moved, shares, t):
    t(
        es=f"""
        Con {amount.value} imágenes: {shares["train"]:.1%} para entrenar, {shares["val"]:.1%} para validar, {shares["test"]:.1%} para
        probar. Con pocas, las partes salen desiguales; con muchas se acercan a 80, 10 y 10 %. Al añadir imágenes, {moved} de las
        anteriores cambian de lado.
        """,
        en=f"""
        With {amount.value} images: {shares["train"]:.1%} to train, {shares["val"]:.1%} to validate, {shares["test"]:.1%} to test. With
        few, the parts come out uneven; with many they approach 80, 10 and 10%. When images are added, {moved} of the earlier ones
        change sides.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Los grupos

        Varias escenas de este conjunto comparten el mismo fondo: `000@0` y `000@1` son variantes de un fondo, el 000.
        Si una cayera en entrenamiento y otra en prueba, la prueba mediría en parte la memoria. Lo mismo pasa con los
        fotogramas de un video o las fotos de una misma persona. Por eso se hace el hash del **grupo** y no de la
        imagen. Comprobémoslo:
        """,
        en="""
        ## Groups

        Several scenes of this set share a ground: `000@0` and `000@1` are variants of one, 000. If one fell into
        training and another into the test, the test would measure memory in part. The same happens with frames of one
        video or photographs of one person. So the hash is that of the **group**, not of the image. Let us check:
        """,
    )
    return


@app.cell
def _(parts):
    grounds = {part: {record.name.split("/")[1].split("@")[0] for record in records} for part, records in parts.items()}
    {
        "train and val": sorted(grounds["train"] & grounds["val"]),
        "train and test": sorted(grounds["train"] & grounds["test"]),
        "val and test": sorted(grounds["val"] & grounds["test"]),
    }
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Ningún fondo está en dos partes. El precio: las partes se reparten por fondos, y la proporción de imágenes sale
        menos pareja.

        ## Usarlo

        Todas las órdenes reciben la misma carpeta:

        ```sh
        calco check scenes                        # ¿qué estropearía el entrenamiento?
        calco detect explore scenes               # clases, tamaños, rarezas (lección 2.9)
        calco detect train scenes --out runs/scenes
        calco detect evaluate runs/scenes scenes
        ```

        ## Ejercicios

        **1.** Tienes 1000 fotogramas de diez videos. ¿Por qué separar al azar por fotogramas da una mAP demasiado
        buena?
        """,
        en="""
        No ground is in two parts. The price: parts are divided by grounds, so the shares of images come out less even.

        ## Using it

        All commands take the same folder:

        ```sh
        calco check scenes                        # what would spoil training?
        calco detect explore scenes               # classes, sizes, oddities (lesson 2.9)
        calco detect train scenes --out runs/scenes
        calco detect evaluate runs/scenes scenes
        ```

        ## Exercises

        **1.** You have 1,000 frames of ten videos. Why does a random split of frames give an mAP that is too good?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Un fotograma de prueba tiene a su vecino, casi idéntico, en el entrenamiento. El detector recuerda en vez de
        reconocer. Hay que separar por video: por ejemplo, ocho para entrenar, uno para validar y uno para probar.
        """,
        en="""
        A test frame has its neighbour, almost identical, in training. The detector remembers instead of recognising.
        Split by video: eight to train, one to validate and one to test, for example.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** ¿Cuántas imágenes de prueba esperas de 160, con una probabilidad de 0,1, y cuánto varía ese número?
        """,
        en="""
        **2.** How many test images do you expect of 160, with a probability of 0.1, and how much does this number vary?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        Se esperan $160 \cdot 0{,}1 = 16$, con una desviación de $\sqrt{160 \cdot 0{,}1 \cdot 0{,}9} \approx 3{,}8$ si
        cada imagen cae por su cuenta. Con grupos de varias imágenes la desviación es mayor.
        """,
        en=r"""
        $160 \cdot 0.1 = 16$ are expected, with a deviation of $\sqrt{160 \cdot 0.1 \cdot 0.9} \approx 3.8$ if each
        image falls on its own. With groups of several images the deviation is larger.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
