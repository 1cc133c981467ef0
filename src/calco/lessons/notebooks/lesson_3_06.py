import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 3.6 · Ver el conjunto de datos · Looking at the data set",
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
        "3.6",
        es="""
        Antes de entrenar, mira. En este conjunto, ¿cuánto fondo hay? ¿Qué clase ocupa menos? ¿Dónde caen los
        objetos? Cinco minutos de mirar ahorran horas de entrenar.
    """,
        en="""
        Look before you train. How much background does this set have? Which class covers least? Where do objects
        lie? Five minutes of looking save hours of training.
    """,
    )
    return (t,)


@app.cell
def _(kit, t):
    alpha = t.slider(0, 100, value=55, step=5, es="opacidad de la máscara, %", en="opacity of the mask, %")
    page = t.slider(0, 11, value=0, es="página", en="page")
    kit.mo.hstack([alpha, page], justify="start")
    return alpha, page


@app.cell
def _(alpha, page, t):
    import numpy as np

    from calco.lessons import segmenting

    data = segmenting.labelled("train")

    def overlay(image, classes, opacity):
        shown = image.astype(float)
        objects = classes > 0
        shown[objects] = (1 - opacity) * shown[objects] + opacity * segmenting.painted(classes)[objects]
        return shown.astype(np.uint8)

    _chosen = range(page.value * 9, page.value * 9 + 8)
    sheet = np.vstack(
        [
            np.hstack([overlay(data.images[i], data.classes[i], alpha.value / 100) for i in row])
            for row in (_chosen[:4], _chosen[4:])
        ]
    )
    t.image(
        sheet,
        es="Ocho escenas con su máscara encima (OpenMoji, CC BY-SA 4.0)",
        en="Eight scenes with their masks over them (OpenMoji, CC BY-SA 4.0)",
        width=560,
    )
    return data, np, segmenting


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Qué se busca

        Superponer la máscara es la prueba más barata y la mejor: muestra máscaras corridas un píxel, clases
        cambiadas, objetos sin anotar. Después, tres números: la **frecuencia** de cada clase, el **tamaño** de los
        objetos y su **lugar**.

        La frecuencia de la clase $k$ en $N$ imágenes es

        $$f_k = \frac{1}{N H W} \sum_{n, i, j} [\,y_{n,i,j} = k\,]$$

        y un peso que la compensa en la pérdida es, por ejemplo, $w_k = \operatorname{mediana}(f) / f_k$.
    """,
        en=r"""
        ## What to look for

        To lay the mask over the image is the cheapest test and the best: it shows masks that are shifted by a
        pixel, exchanged classes, objects without annotation. Then three numbers: the **frequency** of each class,
        the **size** of the objects and their **place**.

        The frequency of class $k$ in $N$ images is

        $$f_k = \frac{1}{N H W} \sum_{n, i, j} [\,y_{n,i,j} = k\,]$$

        and a weight that makes up for it in the loss is, for example, $w_k = \operatorname{median}(f) / f_k$.
    """,
    )
    return


@app.cell
def _(data, np, segmenting, t):
    share = np.bincount(data.classes.ravel(), minlength=4) / data.classes.size
    weights = np.median(share) / share
    occurs = [float((data.classes == k).any((1, 2)).mean()) for k in range(4)]
    t.table(
        [
            {
                t.pick("clase", "class"): name,
                t.pick("píxeles", "pixels"): f"{share[k]:.1%}",
                t.pick("imágenes en que aparece", "images with it"): f"{occurs[k]:.0%}",
                t.pick("peso", "weight"): float(weights[k]),
            }
            for k, name in enumerate(segmenting.CLASSES)
        ]
    )
    return (share,)


@app.cell(hide_code=True)
def _(share, t):

    t(
        es=f"""
        El fondo es el {share[0]:.0%} de los píxeles: esa es la exactitud de una red que no aprendió nada.
        Recuérdala cuando leas un puntaje en 3.8.

        ¿Dónde están los objetos? El promedio de todas las máscaras es un mapa de probabilidad, y a la vez la línea
        base más simple:
    """,
        en=f"""
        The background is {share[0]:.0%} of the pixels: this is the accuracy of a network that has learned nothing.
        Remember it when you read a score in 3.8.

        Where are the objects? The mean of all masks is a map of probability, and the simplest baseline too:
    """,
    )
    return


@app.cell
def _(data, kit, np, segmenting, t):
    where = np.stack([(data.classes == k).mean(0) for k in range(1, 4)])
    _figure, _axes = kit.plot(7, 2.4, columns=3)
    for _axis, _plane, _name in zip(_axes, where, segmenting.CLASSES[1:], strict=True):
        _axis.imshow(_plane, vmin=0, vmax=where.max(), cmap="magma")
        _axis.set(title=_name, xticks=[], yticks=[])
    t.image(
        _figure,
        es=f"Parte de las imágenes en que cada píxel es de la clase; máximo {where.max():.0%}",
        en=f"Share of the images in which each pixel has the class; highest {where.max():.0%}",
        width=640,
    )
    return (where,)


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Los objetos evitan el borde (se pegan enteros) y no prefieren ningún lugar: la red no podrá acertar por la
        posición. En fotos reales el cielo está arriba y la calle abajo, y una red lo aprende, para bien y para mal.

        El tamaño, en cambio, decide qué tan difícil es. Mueve el umbral: ¿qué parte de los objetos ocupa menos?
    """,
        en="""
        Objects avoid the border (they are pasted whole) and prefer no place: the network cannot be right by
        position. In real photographs the sky is above and the street below, and a network learns it, for better and
        worse.

        Size decides how difficult it is. Move the threshold: which share of the objects covers less?
    """,
    )
    return


@app.cell
def _(np, t):
    from calco.annotations import read_annotations
    from calco.lessons.scenes import scenes

    areas = np.concatenate(
        [each.detections.areas() for each in read_annotations(scenes() / "annotations" / "train.json").records]
    )
    limit = t.slider(200, 6000, step=200, value=1000, es="área, píxeles", en="area, pixels")
    limit
    return areas, limit


@app.cell
def _(areas, kit, limit, t):
    small = (areas < limit.value).mean()
    _figure, _axes = kit.plot()
    _axes.hist(areas, bins=30)
    _axes.axvline(limit.value, color="black", linestyle=":")
    _axes.set(
        xlabel=t.pick("área del objeto, píxeles de 192 × 192", "area of the object, pixels of 192 × 192"),
        ylabel=t.pick("objetos", "objects"),
    )
    t.image(
        _figure,
        es=f"{len(areas)} objetos; el {small:.0%} tiene menos de {limit.value} píxeles",
        en=f"{len(areas)} objects; {small:.0%} have fewer than {limit.value} pixels",
        width=520,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** ¿Qué IoU da la línea base «cada píxel, su clase más frecuente según el mapa promedio»?
    """,
        en="""
        ## Exercises

        **1.** What is the IoU of the baseline "for each pixel, its most frequent class in the mean map"?
    """,
    )
    return


@app.cell(hide_code=True)
def _(data, np, segmenting, t, where):
    _most = np.argmax(np.concatenate([1 - where.sum(0, keepdims=True), where]), 0)
    _scores = segmenting.ious(segmenting.confusion(data.classes, np.broadcast_to(_most, data.classes.shape)))
    t.solution(
        es=f"El fondo gana en el {(_most == 0).mean():.0%} de los lugares; la IoU media de las tres clases es {np.nanmean(_scores[1:]):.3f}.",
        en=f"The background wins at {(_most == 0).mean():.0%} of the places; the mean IoU of the three classes is {np.nanmean(_scores[1:]):.3f}.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Un objeto de 20 × 20 píxeles pierde un borde de un píxel. ¿Cuánto baja su IoU? ¿Y uno de 100 × 100?
    """,
        en="""
        **2.** An object of 20 × 20 pixels loses a border of one pixel. How far does its IoU fall? And one of 100 ×
        100?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        $18^2 / 20^2 = 0{,}81$ y $98^2 / 100^2 = 0{,}96$. Como con las cajas: lo pequeño se castiga más.
    """,
        en="""
        $18^2 / 20^2 = 0.81$ and $98^2 / 100^2 = 0.96$. As with boxes: what is small is punished more.
    """,
    )
    return


if __name__ == "__main__":
    app.run()
