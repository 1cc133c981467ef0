import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 3.5 · Usar un conjunto de datos de segmentación · Using a segmentation data set",
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
        "3.5",
        es="""
        Tres carpetas y un archivo bastan para entrenar: `images`, `masks`, `annotations`. Mueve el deslizador para
        ver los pares que recibirá la red y, después, comprueba que la partición no haga trampa.
    """,
        en="""
        Three folders and a file suffice for training: `images`, `masks`, `annotations`. Move the slider to see the
        pairs that the network will receive; then check that the split does not cheat.
    """,
    )
    return (t,)


@app.cell
def _(t):
    import numpy as np

    import calco
    from calco.lessons import segmenting
    from calco.lessons.scenes import scenes

    folder = scenes()
    splits = {split: segmenting.labelled(split) for split in ("train", "val", "test")}
    number = t.slider(0, len(splits["train"].names) - 1, value=5, es="par", en="pair")
    number
    return calco, folder, np, number, segmenting, splits


@app.cell
def _(number, segmenting, splits, t):
    train = splits["train"]
    t.images(
        (train.images[number.value], "entrada (OpenMoji, CC BY-SA 4.0)", "input (OpenMoji, CC BY-SA 4.0)"),
        (segmenting.painted(train.classes[number.value]), "objetivo, pintado", "target, painted"),
        width=260,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        Un par es $(x, y)$: una imagen $x$ de $H \times W \times 3$ y un mapa $y$ de $H \times W$ con números de
        clase. Deben tener el mismo tamaño, y lo que se haga a uno se hace al otro. Con una excepción importante al
        cambiar de tamaño:

        - la **imagen** se promedia: un píxel nuevo es la media de los que reemplaza;
        - la **máscara** toma el *vecino más cercano*. El promedio de la clase 1 y la clase 3 daría 2: un auto donde
          solo había un animal y una fruta.

        ## El código más corto

        Calco abre la carpeta y reconoce sola qué contiene. Una receta convierte cada muestra en un par:
    """,
        en=r"""
        ## The idea

        A pair is $(x, y)$: an image $x$ of $H \times W \times 3$ and a map $y$ of $H \times W$ with class numbers.
        They need the same size, and what is done to one is done to the other. With one important exception where
        the size changes:

        - the **image** is averaged: a new pixel is the mean of those that it replaces;
        - the **mask** takes the *nearest neighbour*. The mean of class 1 and class 3 would be 2: a car where there
          were only an animal and a fruit.

        ## The smallest code

        Calco opens the folder and recognises what it holds. A recipe turns each sample into a pair:
    """,
    )
    return


@app.cell
def _(calco, folder, segmenting):
    from calco.data.palettes import written_out
    from calco.data.recipe_config import SegmentConfig

    palette = SegmentConfig(palette=written_out(segmenting.PALETTE))
    source = calco.open_source(
        str(folder / "images" / "train"), calco.SourceConfig(annotations=str(folder / "annotations" / "train.json"))
    )
    recipe = calco.build_recipe(calco.RecipeConfig(recipe="segment", segment=palette), source.kind)
    source.summary()
    return recipe, source


@app.cell(hide_code=True)
def _(t):
    t.source("calco.lessons.segmenting:labelled", "calco.lessons.segmenting:Labelled")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        El error del promedio se puede ver. A la izquierda, la máscara reducida con el vecino más cercano; a la
        derecha, promediando los *números* de clase y redondeando:
    """,
        en="""
        The mistake of averaging can be seen. Left, the mask reduced by the nearest neighbour; right, by averaging
        the class *numbers* and rounding:
    """,
    )
    return


@app.cell
def _(np, number, segmenting, t):
    big = segmenting.labelled("train", 192).classes[number.value]
    nearest = big[::4, ::4]
    averaged = np.rint(big.reshape(48, 4, 48, 4).mean((1, 3))).astype(np.uint8)
    t.images(
        (segmenting.painted(nearest), "vecino más cercano", "nearest neighbour"),
        (
            segmenting.painted(averaged),
            "promedio: aparecen bordes de otra clase",
            "average: borders of another class appear",
        ),
        width=260,
    )
    return averaged, nearest


@app.cell(hide_code=True)
def _(averaged, nearest, t):
    wrong = (averaged != nearest).mean()
    t(
        es=f"""
        Difieren en el {wrong:.1%} de los píxeles, todos en los bordes: justo donde se decide una buena máscara.

        ## Las particiones

        Entrenamos con *train*, elegimos con *val* (épocas, umbrales, tamaño de la red) y medimos **una vez** con
        *test*. Lo que se usó para elegir ya no sirve para medir.

        Calco reparte por **grupos**, no por imágenes. Aquí el grupo es el fondo: las escenas `006@0`, `006@1` y
        `006@2` comparten fondo y están juntas. Compruébalo:
    """,
        en=f"""
        They differ in {wrong:.1%} of the pixels, all at borders: where a good mask is decided.

        ## The splits

        We train on *train*, choose on *val* (epochs, thresholds, size of the network), and measure **once** on
        *test*. What served for choosing no longer serves for measuring.

        Calco splits by **groups**, not by images. Here the group is the ground: the scenes `006@0`, `006@1` and
        `006@2` share a ground and stay together. Check it:
    """,
    )
    return


@app.cell
def _(splits, t):
    grounds = {split: {name.split("@")[0] for name in data.names} for split, data in splits.items()}
    shared = {
        f"{a} ∩ {b}": len(grounds[a] & grounds[b]) for a, b in (("train", "val"), ("train", "test"), ("val", "test"))
    }
    t.table(
        [
            {
                t.pick("partición", "split"): split,
                t.pick("imágenes", "images"): len(data.names),
                t.pick("fondos", "grounds"): len(grounds[split]),
            }
            for split, data in splits.items()
        ]
    )
    return (shared,)


@app.cell(hide_code=True)
def _(shared, t):

    t(
        es=f"""
        Fondos compartidos: {shared}. Cero: bien. Pero hay una fuga que esta partición no evita: los **dibujos**.
        Los mismos 18 animales, autos y frutas aparecen en las tres partes, girados y con otra luz. Nuestro puntaje
        dirá qué tan bien se recortan dibujos *conocidos* sobre fondos nuevos; no dirá nada de un animal nunca
        visto. Escribe siempre junto al puntaje qué quedó aparte.

        ## Ejercicios

        **1.** Tienes 30 videos de 100 fotogramas. ¿Cómo los repartes y por qué no al azar por fotograma?
    """,
        en=f"""
        Shared grounds: {shared}. Zero: good. But there is a leak that this split does not prevent: the
        **drawings**. The same 18 animals, cars and fruits appear in all three parts, turned and in other light. Our
        score will say how well *known* drawings are cut out on new grounds; it says nothing about an animal never
        seen. Always write beside a score what was kept apart.

        ## Exercises

        **1.** You have 30 videos of 100 frames. How do you split them, and why not by random frames?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Por video: por ejemplo 24, 3 y 3. Dos fotogramas vecinos son casi la misma imagen; repartidos al azar, la
        red ya vio en *train* casi todo *test* y el puntaje mide memoria.
    """,
        en="""
        By video: 24, 3 and 3, say. Two neighbouring frames are nearly one image; split at random, the network has
        seen nearly all of *test* in *train*, and the score measures memory.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Con la receta, ¿qué devuelve `recipe(source.load(source.items[0]), np.random.default_rng(0))`?
        Pruébalo y compara los tamaños.
    """,
        en="""
        **2.** What does `recipe(source.load(source.items[0]), np.random.default_rng(0))` return? Try it, and
        compare the sizes.
    """,
    )
    return


@app.cell(hide_code=True)
def _(np, recipe, source, t):
    _pair = recipe(source.load(source.items[0]), np.random.default_rng(0))
    t.solution(
        es=f"Un `Pair`: entrada {_pair.input.shape} y objetivo {_pair.target.shape}, del mismo alto y ancho; el objetivo es la máscara pintada.",
        en=f"A `Pair`: input {_pair.input.shape} and target {_pair.target.shape}, of one height and width; the target is the painted mask.",
    )
    return


if __name__ == "__main__":
    app.run()
