import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 2.15 · Ajuste fino de un detector · Fine-tuning a detector")


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
        "2.15",
        es="""
        La misma red, las mismas imágenes, el mismo número de pasos. Una empezó con pesos al azar; la otra, con un
        backbone que ya había visto ImageNet. Mira la diferencia: eso compra el ajuste fino.
        """,
        en="""
        The same network, the same images, the same number of steps. One began with random weights; the other with a
        backbone that had seen ImageNet. Look at the difference: this is what fine-tuning buys.
        """,
    )
    return (t,)


@app.cell
def _():

    import numpy as np

    import calco
    from calco.detection import draw_detections, load_detector
    from calco.lessons import scenes

    data = calco.open_source(scenes.scenes())
    runs = {name: scenes.detector(name) for name in ("scratch", "auto")}  # trained the first time, a minute each
    detectors = {name: load_detector(run, device="cpu", precision="fp32") for name, run in runs.items()}
    validation = [data.load(item) for item in data.items if item.split == "val"]
    return data, detectors, draw_detections, np, runs, validation


@app.cell
def _(t, validation):
    which = t.slider(0, len(validation) - 1, value=5, es="imagen", en="image")
    which
    return (which,)


@app.cell
def _(data, detectors, draw_detections, runs, t, validation, which):
    _image = validation[which.value].image
    _labels = {"scratch": ("pesos al azar", "random weights"), "auto": ("backbone de ImageNet", "ImageNet backbone")}
    maps = {name: detectors[name].info.scores["map50"] for name in runs}
    t.images(
        *(
            (draw_detections(_image, detectors[name](_image), data.classes), f"{es}: mAP50 = {maps[name]:.3f}",
             f"{en}: mAP50 = {maps[name]:.3f}")
            for name, (es, en) in _labels.items()
        ),
        width=330,
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        *Escenas con dibujos de OpenMoji, CC BY-SA 4.0. El mAP es el de las imágenes de validación.*

        ## La idea

        Entrenar desde cero pide aprenderlo todo a la vez: qué es un borde, qué es una textura, qué es una oreja, qué
        es un gato, y dónde termina su caja. Las primeras preguntas son iguales para *todas* las fotos del mundo. El
        **ajuste fino** las toma resueltas: parte los pesos en los del backbone $\theta_b$ y los de la cabeza
        $\theta_h$, comienza con $\theta_b = \theta_b^{\text{ImageNet}}$ y $\theta_h$ al azar, y sigue bajando la
        pérdida, con pasos distintos:

        $$\theta_h \leftarrow \theta_h - \eta\, \nabla_{\theta_h} L \qquad
        \theta_b \leftarrow \theta_b - \rho\,\eta\, \nabla_{\theta_b} L, \quad 0 \le \rho \le 1$$

        Con $\rho = 0$ el backbone queda **congelado**; con $\rho$ pequeño (aquí 0,3) se mueve con cuidado: la cabeza,
        que empieza al azar, manda al principio gradientes grandes y sin sentido, que destruirían lo aprendido. Entre
        ambos extremos se pueden congelar solo las **primeras etapas**.

        ## Qué sabe el backbone antes de empezar

        Una prueba sin entrenar ni un peso. Se recortan los objetos, se pasan por el backbone, se promedia su último
        mapa y se clasifica cada recorte por el **centroide** más cercano: la media de las características de cada
        clase en el entrenamiento.
        """,
        en=r"""
        *Scenes with drawings by OpenMoji, CC BY-SA 4.0. The mAP is that of the validation images.*

        ## The idea

        To train from scratch is to learn everything at once: what an edge is, what a texture, what an ear, what a cat,
        and where its box ends. The first questions are the same for *all* photos in the world. **Fine-tuning** takes
        them as solved: it parts the weights into those of the backbone $\theta_b$ and those of the head $\theta_h$,
        begins with $\theta_b = \theta_b^{\text{ImageNet}}$ and a random $\theta_h$, and goes on to lower the loss,
        with different steps:

        $$\theta_h \leftarrow \theta_h - \eta\, \nabla_{\theta_h} L \qquad
        \theta_b \leftarrow \theta_b - \rho\,\eta\, \nabla_{\theta_b} L, \quad 0 \le \rho \le 1$$

        With $\rho = 0$ the backbone is **frozen**; with a small $\rho$ (here 0.3) it moves with care: the head, which
        begins at random, first sends large and senseless gradients, which would destroy what was learned. Between the
        two, the **first stages** alone can be frozen.

        ## What the backbone knows before it starts

        A trial without training a single weight. The objects are cut out and passed through the backbone, its last map
        is averaged, and each cut-out is classified by the nearest **centroid**: the mean of the features of each class
        in training.
        """,
    )
    return


@app.cell
def _(data, np):
    import cv2
    import torch

    from calco.networks.efficientnet_lite import EfficientNetLite, load_imagenet

    def cutouts(split):
        images, names = [], []
        for item in data.items:
            if item.split == split:
                sample = data.load(item)
                for box, name in zip(sample.detections.boxes, sample.detections.classes, strict=True):
                    left, top, right, bottom = np.rint(box).astype(int)
                    images.append(
                        cv2.resize(sample.image[top:bottom, left:right], (64, 64), interpolation=cv2.INTER_AREA)
                    )
                    names.append(name)
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1, np.array(names)

    @torch.inference_mode()
    def features(backbone, images):
        maps = [backbone.eval()(part)[-1] for part in images.split(32)]  # N x 320 x 2 x 2
        return torch.cat(maps).mean(dim=(2, 3)).numpy()

    def accuracy(train, train_names, test, test_names):
        middle, spread = train.mean(axis=0), train.std(axis=0) + 1e-6
        train, test = (train - middle) / spread, (test - middle) / spread
        classes = np.unique(train_names)
        centroids = np.stack([train[train_names == name].mean(axis=0) for name in classes])
        distances = ((test[:, None] - centroids[None]) ** 2).sum(axis=2)
        return float((classes[distances.argmin(axis=1)] == test_names).mean())

    return EfficientNetLite, accuracy, cutouts, features, load_imagenet, torch


@app.cell
def _(EfficientNetLite, accuracy, cutouts, features, load_imagenet, t, torch):
    torch.manual_seed(0)
    random_backbone, imagenet_backbone = EfficientNetLite(), EfficientNetLite()
    load_imagenet(imagenet_backbone)
    first, first_names = cutouts("train")
    second, second_names = cutouts("val")
    shares = {
        "pixels": accuracy(first.flatten(1).numpy(), first_names, second.flatten(1).numpy(), second_names),
        "random": accuracy(*(v for x, n in ((first, first_names), (second, second_names))
                             for v in (features(random_backbone, x), n))),
        "imagenet": accuracy(*(v for x, n in ((first, first_names), (second, second_names))
                               for v in (features(imagenet_backbone, x), n))),
    }  # fmt: skip
    most_frequent = float(max((second_names == name).mean() for name in set(second_names)))
    t.table(
        [
            {t.pick("características", "features"): name, t.pick("aciertos", "accuracy"): f"{value:.1%}"}
            for name, value in (
                (t.pick("siempre la clase más frecuente", "always the most frequent class"), most_frequent),
                (t.pick("los píxeles", "the pixels"), shares["pixels"]),
                (t.pick("backbone al azar", "random backbone"), shares["random"]),
                (t.pick("backbone de ImageNet", "ImageNet backbone"), shares["imagenet"]),
            )
        ]
    )
    return first, first_names, imagenet_backbone, second, second_names, shares


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ImageNet es de fotos, no de dibujos. Aun así, sus características separan animales, autos y frutas dibujados
        mejor que los píxeles. Esa es la **transferencia**. Y mira la fila del backbone al azar: una red sin entrenar
        no es «nada», también proyecta la imagen; por eso se compara con ella y no con el azar puro.

        ## Qué se congela

        Las primeras etapas ven bordes; las últimas, partes. Con pocas imágenes conviene congelar más: menos pesos
        libres, menos sobreajuste. Y hay otra ganancia: los mapas grandes están al principio, así que congelarlos
        ahorra la parte más cara del paso hacia atrás. Mídelo en tu máquina:
        """,
        en="""
        ImageNet is photos, not drawings. Even so, its features separate drawn animals, cars and fruit better than
        pixels do. This is **transfer**. And look at the row of the random backbone: an untrained network is not
        “nothing”, it projects the image too; this is why the comparison is with it, and not with pure chance.

        ## What is frozen

        The first stages see edges; the last ones see parts. With few images, freeze more: fewer free weights, less
        overfitting. And there is another gain: the large maps come first, so that freezing them saves the most
        expensive part of the backward pass. Measure it on your machine:
        """,
    )
    return


@app.cell
def _(t):
    freeze = t.slider(0, 7, value=2, es="etapas congeladas", en="frozen stages")
    freeze
    return (freeze,)


@app.cell
def _(freeze, t, torch):
    import time

    from calco.detection.lite import LiteDetector

    def step_time(stages):
        """Return trained weights, all weights, and seconds of a forward and backward pass (best of three)."""
        torch.manual_seed(0)
        network = LiteDetector(3, width=64, depth=1)
        network.freeze(stages)
        network.train()
        images, seconds = torch.zeros(8, 3, 96, 96), []
        for _ in range(3):
            begun = time.perf_counter()
            logits, boxes, *_ = network.raw(images)
            (logits.mean() + boxes.mean()).backward()
            seconds.append(time.perf_counter() - begun)
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        return trained, sum(p.numel() for p in network.parameters()), min(seconds)

    trained, weights_in_all, seconds_here = step_time(freeze.value)
    seconds_of_all = step_time(0)[2]
    t(
        es=f"Con **{freeze.value}** etapas congeladas se entrenan **{trained:,}** de {weights_in_all:,} pesos "
        f"({trained / weights_in_all:.0%}), y un paso tarda **{seconds_here * 1000:.0f} ms**; sin congelar, "
        f"{seconds_of_all * 1000:.0f} ms.",
        en=f"With **{freeze.value}** frozen stages, **{trained:,}** of {weights_in_all:,} weights are trained "
        f"({trained / weights_in_all:.0%}), and a step takes **{seconds_here * 1000:.0f} ms**; without freezing, "
        f"{seconds_of_all * 1000:.0f} ms.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Fíjate en que los *pesos* casi no bajan y el *tiempo* sí: las primeras etapas tienen pocos pesos sobre mapas
        enormes.

        Hay un detalle que arruina muchos ajustes finos: la **normalización por lotes**. Sus medias y varianzas se
        estiman del lote, y ocho imágenes las estiman mal. Un backbone preentrenado ya trae las de un millón de fotos,
        de modo que Calco las deja fijas:
        """,
        en="""
        Note that the *weights* hardly fall and the *time* does: the first stages have few weights on huge maps.

        One detail spoils many fine-tunings: **batch normalisation**. Its means and variances are estimated from the
        batch, and eight images estimate them badly. A pretrained backbone brings those of a million photos, so Calco
        keeps them fixed:
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.detection.lite:LiteDetector.freeze", "calco.detection.lite:LiteDetector.train")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** En la prueba de los centroides, usa el segundo mapa del backbone (`maps[1]`, bordes y texturas) en vez
        del último. ¿Sube o baja?
        """,
        en="""
        ## Exercises

        **1.** In the trial of the centroids, take the second map of the backbone (`maps[1]`, edges and textures)
        instead of the last. Does it rise or fall?
        """,
    )
    return


@app.cell(hide_code=True)
def _(accuracy, first, first_names, imagenet_backbone, second, second_names, shares, t, torch):
    @torch.inference_mode()
    def early(images):
        return torch.cat([imagenet_backbone(part)[1] for part in images.split(32)]).mean(dim=(2, 3)).numpy()

    early_share = accuracy(early(first), first_names, early(second), second_names)
    t.solution(
        es=f"""
        Da {early_share:.1%}, frente a {shares["imagenet"]:.1%} con el último. El último mapa resume partes de objetos; el
        segundo, colores y bordes. Si la diferencia es pequeña es porque estas clases también se distinguen por su color: con
        fotos reales se abre mucho más.
        """,
        en=f"""
        It gives {early_share:.1%}, against {shares["imagenet"]:.1%} with the last. The last map sums up parts of objects,
        the second one colours and edges. Where the difference is small, it is because these classes differ in colour too:
        with real photos it is much wider.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        **2.** Con $\eta = 0{,}004$ y $\rho = 0{,}3$, ¿cuál es la tasa del backbone? ¿Qué pasaría con $\rho = 1$ al
        principio?
        """,
        en=r"""
        **2.** With $\eta = 0.004$ and $\rho = 0.3$, what is the rate of the backbone? What would happen at first with
        $\rho = 1$?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        $0{,}3 \cdot 0{,}004 = 0{,}0012$. Con $\rho = 1$, los gradientes de una cabeza aún al azar moverían el backbone tanto
        como a ella: en unas decenas de pasos se borraría parte de lo que costó un millón de fotos. El calentamiento
        (*warm-up*) de la tasa ayuda por la misma razón.
        """,
        en=r"""
        $0.3 \cdot 0.004 = 0.0012$. With $\rho = 1$, the gradients of a head that is still random would move the backbone as
        much as the head: within some tens of steps, a part of what cost a million photos would be gone. The warm-up of the
        rate helps for the same reason.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** ¿Cuándo *no* ayudaría un backbone de ImageNet?
        """,
        en="""
        **3.** When would an ImageNet backbone *not* help?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Cuando las imágenes no se parecen en nada a fotos (radar, espectrogramas) o cuando hay tantos datos propios y tanto
        tiempo que desde cero se llega igual. Con 119 escenas y 160 pasos no estamos en ese caso. La única respuesta segura es
        la del comienzo de esta lección: entrenar ambos con los mismos pasos y comparar.
        """,
        en="""
        If your images look nothing like photos (radar, spectrograms), or if you have so much data and time that training
        from scratch ends up just as good. Neither is true of 119 scenes and 160 steps. To be sure, do what this lesson did
        at the start: train both for the same number of steps, and compare.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
