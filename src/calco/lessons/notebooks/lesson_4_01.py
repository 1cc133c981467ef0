import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 4.1 · El estado del arte · The state of the art")


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
        "4.1",
        es="""
        Diciembre de 2026. Cada punto es un detector publicado, con su fuente; la línea es el de Calco. Elige un eje y
        mira qué se compra con cada millón de pesos. Luego viene lo más importante: cuánto de esto se puede creer.
        """,
        en="""
        December 2026. Each point is a published detector, with its source; the line is Calco's. Choose an axis, and
        see what each million of weights buys. Then comes what matters most: how much of it can be believed.
        """,
    )
    return (t,)


@app.cell
def _():
    # Millions of weights, COCO AP 50:95 on val2017, as the makers state them; read in December 2026.
    PUBLISHED = {
        "YOLO26": [("n", 2.4, 40.9), ("s", 9.5, 48.6), ("m", 20.4, 53.1), ("l", 24.8, 55.0), ("x", 55.7, 57.5)],
        "RF-DETR": [("N", 30.5, 48.4), ("S", 32.1, 53.0), ("M", 33.7, 54.7), ("L", 33.9, 56.5), ("XL", 126.4, 58.6),
                    ("2XL", 126.9, 60.1)],
        "DEIMv2": [("X", 50.3, 57.8)],
    }  # fmt: skip
    return (PUBLISHED,)


@app.cell
def _(t):
    import numpy as np

    from calco.detection.lite import LiteDetector

    calco_weights = sum(p.numel() for p in LiteDetector(80).parameters()) / 1e6
    log_axis = t.switch(value=True, es="eje logarítmico", en="logarithmic axis")
    log_axis
    return calco_weights, log_axis, np


@app.cell
def _(PUBLISHED, calco_weights, kit, log_axis, t):
    _figure, _axes = kit.plot(7, 3.8)
    for _name, _models in PUBLISHED.items():
        _axes.plot([m[1] for m in _models], [m[2] for m in _models], marker="o", label=_name)
        for _size, _millions, _ap in _models:
            _axes.annotate(_size, (_millions, _ap), textcoords="offset points", xytext=(4, 4), fontsize=8)
    _axes.axvline(calco_weights, color="black", linestyle=":", label="Calco lite (80 clases)")
    _axes.set(
        xscale="log" if log_axis.value else "linear",
        xlabel=t.pick("millones de pesos", "millions of weights"),
        ylabel="COCO AP 50:95",
    )
    _axes.legend(fontsize=8)
    t.image(_figure, width=680,
            es=f"AP en COCO según los autores. El detector de Calco tiene {calco_weights:.1f} millones de pesos y no tiene punto: "
            "nadie lo ha medido en COCO",
            en=f"AP on COCO as the authors state it. Calco's detector has {calco_weights:.1f} million weights and no point: "
            "nobody has measured it on COCO")  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Fuentes, leídas en diciembre de 2026: [YOLO26](https://docs.ultralytics.com/es/tasks/detect) (documentación de
        Ultralytics), [RF-DETR](https://rfdetr.roboflow.com/develop/learn/benchmarks/) (página de resultados de
        Roboflow; ICLR 2026 según [esta
        reseña](https://gentic.news/article/rf-detr-a-real-time-transformer-architecture-that-surpasses-60-map-on-coco)),
        [DEIMv2](https://arxiv.org/abs/2509.20787) (resumen del artículo, septiembre de 2025).

        ## Cómo leer esta figura

        Tres advertencias, todas encontradas al hacerla:

        - **Quien publica se mide a sí mismo.** Ultralytics da 40,9 a YOLO26n y 57,5 a YOLO26x; la [tabla de
          Roboflow](https://raw.githubusercontent.com/roboflow/model-leaderboard/develop/models/object_detection/yolov26/results_yolo26n.json),
          del 14 de enero de 2026, midió 39,9 y
          [56,3](https://raw.githubusercontent.com/roboflow/model-leaderboard/develop/models/object_detection/yolov26/results_yolo26x.json).
          Nadie miente: cambian el número máximo de cajas y el protocolo. Pero un punto de AP es lo que separa a una
          familia de otra.
        - **Las páginas cambian.** En dos versiones de la página de RF-DETR, un mismo rival (YOLO11x) aparece con 54,7
          y con 50,9.
        - **Los pesos no son el costo.** RF-DETR N, S, M y L tienen casi los mismos pesos y hasta 8 puntos de
          diferencia: lo que cambia es el tamaño de la imagen, de 384 a 704 píxeles. El tiempo crece con el cuadrado de
          ese lado.

        Y la **licencia** también es un eje: la tabla de Roboflow da a YOLO26 la AGPL-3.0; de RF-DETR, los tamaños
        hasta L son Apache-2.0, y XL y 2XL tienen otra (PML 1.0). De DEIMv2 encontramos dos afirmaciones que se
        contradicen (Apache-2.0 en un espejo, «no comercial» en la [página de Texas
        Instruments](https://huggingface.co/TexasInstruments/DEIMv2-Detection)): en un caso así se lee el archivo
        `LICENSE` de los pesos que vas a bajar.

        ## Qué cambió en dos años

        **Backbones autosupervisados.** Los detectores rápidos ya no parten de ImageNet con etiquetas, sino de DINOv2
        (RF-DETR) o [DINOv3](https://huggingface.co/papers/2508.10104) (DEIMv2): aprendieron de imágenes sin etiquetas.
        Es la misma idea de la lección 2.15, con otro maestro.

        **Sin supresión de no máximos.** Los detectores de la familia DETR no la necesitan, y
        [YOLO26](https://docs.ultralytics.com/fr/models/yolo26) también se anuncia de extremo a extremo. La NMS de la
        lección 2.3 sigue en los detectores densos, como el de Calco.

        **Vocabulario abierto.** En vez de 80 clases fijas, una frase. [WeDetect](https://arxiv.org/html/2512.12309v1)
        (diciembre de 2025) trata la detección como una búsqueda: compara cada región con el texto en un mismo espacio.
        [LV-OSD](https://arxiv.org/html/2605.28271) (mayo de 2026) acepta palabras e imágenes de ejemplo a la vez. Es
        la respuesta a la guitarra que en la lección 2.14 se llamó animal.

        **Segmentar por concepto.** SAM segmentaba lo que señalabas; [SAM 3](https://arxiv.org/abs/2511.16719)
        (noviembre de 2025) recibe «autobús escolar amarillo» y devuelve las máscaras de *todos*, en imagen y video.
        Sus pesos, unos 0,9 mil millones, [se piden con un
        formulario](https://huggingface.co/facebook/sam3/discussions/411). SAM 3.1, de marzo de 2026 según su
        [ficha](https://huggingface.co/facebook/sam3.1), sigue a muchos objetos a la vez; de su velocidad solo
        encontramos fuentes secundarias, así que no la citamos.

        **De imagen a imagen: difusión y flujo.** Un modelo de *flujo* aprende una velocidad $v_\theta(x_t, t)$ que
        lleva el ruido a la imagen. Con $x_t = (1-t)\,x_0 + t\,x_1$ se minimiza

        $$\mathbb{E}_{t,\,x_0,\,x_1}\left\| v_\theta(x_t, t) - (x_1 - x_0) \right\|^2.$$

        [FLUX.2](https://github.com/black-forest-labs/flux2/wiki) genera y edita con la misma red: *dev*, de 32 mil
        millones de pesos (25 de noviembre de 2025), y *klein*, desde 4 mil millones y con Apache-2.0 en ese tamaño (15
        de enero de 2026). Un *puente* parte de la imagen de entrada y no del ruido; [una
        comparación](https://arxiv.org/html/2509.24531v1) (septiembre de 2025) encuentra que el puente gana, y más
        cuando los datos escasean. Con pocos cientos de pares y una laptop, la red antagónica de la parte 5 sigue
        siendo una elección seria.
        """,
        en=r"""
        Sources, read in December 2026: [YOLO26](https://docs.ultralytics.com/es/tasks/detect) (documentation of
        Ultralytics), [RF-DETR](https://rfdetr.roboflow.com/develop/learn/benchmarks/) (Roboflow's page of results;
        ICLR 2026 according to [this
        review](https://gentic.news/article/rf-detr-a-real-time-transformer-architecture-that-surpasses-60-map-on-coco)),
        [DEIMv2](https://arxiv.org/abs/2509.20787) (abstract of the paper, September 2025).

        ## How to read this figure

        Three warnings, all of them met while making it:

        - **Who publishes measures himself.** Ultralytics gives YOLO26n 40.9 and YOLO26x 57.5; [Roboflow's
          table](https://raw.githubusercontent.com/roboflow/model-leaderboard/develop/models/object_detection/yolov26/results_yolo26n.json),
          of 14 January 2026, measured 39.9 and
          [56.3](https://raw.githubusercontent.com/roboflow/model-leaderboard/develop/models/object_detection/yolov26/results_yolo26x.json).
          Nobody lies: the largest number of boxes and the protocol differ. But a point of AP is what parts one family
          from another.
        - **Pages change.** In two versions of RF-DETR's page, one rival (YOLO11x) stands with 54.7 and with 50.9.
        - **Weights are not the cost.** RF-DETR N, S, M and L have almost the same weights and differ by up to 8
          points: what changes is the size of the image, from 384 to 704 pixels. The time grows with the square of that
          side.

        And the **licence** is an axis too: Roboflow's table has YOLO26 under AGPL-3.0; of RF-DETR, the sizes up to L
        are under Apache-2.0, and XL and 2XL under another (PML 1.0). For DEIMv2 we found two statements that
        contradict each other (Apache-2.0 on a mirror, “non-commercial” on the [page of Texas
        Instruments](https://huggingface.co/TexasInstruments/DEIMv2-Detection)): in such a case, read the `LICENSE`
        file of the weights that you are going to download.

        ## What changed in two years

        **Self-supervised backbones.** Fast detectors no longer begin with ImageNet and its labels, but with DINOv2
        (RF-DETR) or [DINOv3](https://huggingface.co/papers/2508.10104) (DEIMv2), which learned from images without
        labels. It is the idea of lesson 2.15, with another teacher.

        **No non-maximum suppression.** Detectors of the DETR family do not need it, and
        [YOLO26](https://docs.ultralytics.com/fr/models/yolo26) is announced as end-to-end as well. The NMS of lesson
        2.3 remains in dense detectors, such as Calco's.

        **Open vocabulary.** Instead of 80 fixed classes, a phrase. [WeDetect](https://arxiv.org/html/2512.12309v1)
        (December 2025) treats detection as retrieval: it compares each region with the text in one space.
        [LV-OSD](https://arxiv.org/html/2605.28271) (May 2026) takes words and example images together. It is the
        answer to the guitar that was called an animal in lesson 2.14.

        **Segmentation by concept.** SAM segmented what you pointed at; [SAM 3](https://arxiv.org/abs/2511.16719)
        (November 2025) is given “yellow school bus” and returns the masks of *all*, in images and videos. Its weights,
        some 0.9 billion, [are asked for by a form](https://huggingface.co/facebook/sam3/discussions/411). SAM 3.1, of
        March 2026 by its [card](https://huggingface.co/facebook/sam3.1), follows many objects at once; of its speed we
        found secondary sources alone, so we do not quote it.

        **From image to image: diffusion and flow.** A *flow* model learns a velocity $v_\theta(x_t, t)$ that takes
        noise to an image. With $x_t = (1-t)\,x_0 + t\,x_1$,

        $$\mathbb{E}_{t,\,x_0,\,x_1}\left\| v_\theta(x_t, t) - (x_1 - x_0) \right\|^2$$

        is minimised. [FLUX.2](https://github.com/black-forest-labs/flux2/wiki) generates and edits with one network:
        *dev*, with 32 billion weights (25 November 2025), and *klein*, from 4 billion on, under Apache-2.0 in that
        size (15 January 2026). A *bridge* begins with the input image instead of noise; [a
        comparison](https://arxiv.org/html/2509.24531v1) (September 2025) finds that the bridge wins, and the more so
        the scarcer the data. With a few hundred pairs and a laptop, the adversarial network of part 5 remains a
        serious choice.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## En video: el mismo objeto, cuadro tras cuadro

        Detectar en cada cuadro no basta para contar: hay que saber que la caja de ahora es la de antes. Es el
        **seguimiento** (*tracking*), y lo más usado sigue siendo *detectar y luego asociar*, según una [revisión de la
        Universidad de Belgrado](https://ar5iv.labs.arxiv.org/html/2506.13457) («Deep Learning-Based Multi-Object
        Tracking», 2025).

        - **SORT** ([Bewley y otros](https://arxiv.org/abs/1602.00763), ICIP 2016): predice el movimiento y asocia por
          superposición. Sus autores advierten que no resuelve los objetos que se tapan ni los que vuelven.
        - **ByteTrack** ([Zhang y otros](https://huggingface.co/papers/2110.06864), ECCV 2022): no tira las cajas de
          puntaje bajo, que suelen ser objetos tapados; las asocia después de las seguras.
        - La misma revisión encuentra que estas reglas ganan cuando hay mucha gente y movimiento recto, y que las
          asociaciones aprendidas ganan cuando el movimiento es complejo.

        ¿Cómo se mide? Con **HOTA** ([Luiten y otros](https://link.springer.com/article/10.1007/s11263-020-01375-2),
        *International Journal of Computer Vision*, 2021): la media geométrica de encontrar (DetA) y de asociar (AssA),

        $$\text{HOTA} = \sqrt{\text{DetA} \cdot \text{AssA}}, \qquad
        \text{AssA} = \frac{1}{|TP|} \sum_{c \in TP} \frac{TPA(c)}{TPA(c) + FPA(c) + FNA(c)},$$

        promediada sobre umbrales de IoU. Prueba el caso más simple: un objeto hallado en los 100 cuadros, que en uno de
        ellos cambia de número. Muévelo:
        """,
        en=r"""
        ## In video: the same object, frame after frame

        To detect in each frame is not enough for counting: one has to know that this box is the one from before. That
        is **tracking**, and the most common way is still *to detect and then to associate*, according to a [survey of
        the University of Belgrade](https://ar5iv.labs.arxiv.org/html/2506.13457) (“Deep Learning-Based Multi-Object
        Tracking”, 2025).

        - **SORT** ([Bewley and others](https://arxiv.org/abs/1602.00763), ICIP 2016): it predicts motion, and
          associates by overlap. Its authors warn that it handles neither occlusion nor objects that come back.
        - **ByteTrack** ([Zhang and others](https://huggingface.co/papers/2110.06864), ECCV 2022): it does not throw
          away boxes of low scores, which are often occluded objects; it associates them after the certain ones.
        - The same survey finds that such rules win where there are many people and straight motion, and that learned
          association wins where motion is complex.

        How is it measured? By **HOTA** ([Luiten and
        others](https://link.springer.com/article/10.1007/s11263-020-01375-2), *International Journal of Computer
        Vision*, 2021): the geometric mean of finding (DetA) and of associating (AssA),

        $$\text{HOTA} = \sqrt{\text{DetA} \cdot \text{AssA}}, \qquad
        \text{AssA} = \frac{1}{|TP|} \sum_{c \in TP} \frac{TPA(c)}{TPA(c) + FPA(c) + FNA(c)},$$

        averaged over thresholds of IoU. Try the simplest case: an object that is found in all 100 frames, and changes
        its number in one of them. Move it:
        """,
    )
    return


@app.cell
def _(t):
    switched = t.slider(0, 100, value=50, es="cuadro del cambio de número", en="frame of the change of number")
    switched
    return (switched,)


@app.cell
def _(np, switched, t):
    def association(truth, found):
        """AssA where every frame has one true object and one hit: the Jaccard index of each hit's two tracks."""
        return float(np.mean([((truth == a) & (found == b)).sum() / ((truth == a) | (found == b)).sum()
                              for a, b in zip(truth, found, strict=True)]))  # fmt: skip

    _found = np.where(np.arange(100) < switched.value, 1, 2)
    assa = association(np.ones(100, int), _found)
    mota = 1 - np.count_nonzero(np.diff(_found)) / 100  # misses, false alarms and changes, over true objects
    t(
        es=f"DetA = 1 · AssA = {assa:.2f} · **HOTA = {np.sqrt(assa):.2f}**. La medida anterior, MOTA, solo resta un cambio: {mota:.2f}.",
        en=f"DetA = 1 · AssA = {assa:.2f} · **HOTA = {np.sqrt(assa):.2f}**. The earlier measure, MOTA, only subtracts one change: {mota:.2f}.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Un cambio en la mitad deja la historia partida en dos, y HOTA lo dice; para MOTA es un error entre cien, esté
        donde esté.

        **Máscaras que siguen.** [SAM 2](https://github.com/facebookresearch/sam2) (Ravi y otros, Meta, 2024) recibe un
        clic en un cuadro y devuelve la máscara en todo el video: guarda en una **memoria** lo que vio y atiende a ella
        en cada cuadro nuevo. Una imagen es para ella un video de un cuadro. Según su página, los pesos van de 38,9 a
        224,4 millones, con licencia Apache 2.0, y la versión 2.1 es de setiembre de 2024. El seguidor de
        [SAM 3](https://github.com/facebookresearch/sam3) hereda esa arquitectura y comparte el codificador con un
        detector de la familia DETR guiado por texto: así pasa de «este objeto» a «todos los que se llaman así». Sus
        autores publican también lo que falta: en videos de SA-V, 58,0 de pHOTA (una variante de HOTA), frente a 70,5
        de personas.

        **Detectar con palabras.** [Grounding DINO](https://arxiv.org/abs/2303.05499) (Liu y otros, 2023) agregó un
        codificador de texto a un detector DETR, y sus autores dan 52,5 de AP en COCO sin haber entrenado con COCO.
        Detectado por palabra y seguido por una de las reglas de arriba, un objeto nuevo ya no necesita un conjunto de
        datos propio para empezar; para *medir*, sí.
        """,
        en="""
        A change half way leaves the history cut in two, and HOTA says so; for MOTA it is one error in a hundred,
        wherever it lies.

        **Masks that follow.** [SAM 2](https://github.com/facebookresearch/sam2) (Ravi and others, Meta, 2024) is given
        a click in one frame and returns the mask through the whole video: it keeps in a **memory** what it saw, and
        attends to it in each new frame. An image is a video of one frame to it. By its page, the weights number from
        38.9 to 224.4 million, under Apache 2.0, and version 2.1 is of September 2024. The tracker of
        [SAM 3](https://github.com/facebookresearch/sam3) inherits this architecture, and shares its encoder with a
        detector of the DETR family that text guides: so it goes from “this object” to “all that are called so”. Its
        authors also publish what is missing: on videos of SA-V, a pHOTA (a variant of HOTA) of 58.0, beside 70.5 of
        humans.

        **Detection by words.** [Grounding DINO](https://arxiv.org/abs/2303.05499) (Liu and others, 2023) added a text
        encoder to a DETR detector, and its authors state an AP of 52.5 on COCO without training on COCO. Detected by a
        word, and followed by one of the rules above, a new object no longer needs a data set of its own to begin with;
        to *measure*, it does.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Lo que cabe en tu máquina

        Un peso ocupa 4 bytes en float32, 2 en bfloat16 y 1 en int8. **Entrenar** con Adam en float32 guarda además el
        gradiente y dos promedios: 16 bytes por peso, sin contar los mapas de características. Mueve el tamaño:
        """,
        en="""
        ## What fits into your machine

        A weight takes 4 bytes in float32, 2 in bfloat16 and 1 in int8. **Training** with Adam in float32 also keeps
        the gradient and two averages: 16 bytes per weight, feature maps not counted. Move the size:
        """,
    )
    return


@app.cell
def _(kit, t):
    size = t.slider(steps=[1, 3, 10, 34, 100, 300, 900, 4000, 9000, 32000], value=34, es="millones de pesos", en="millions of weights")  # fmt: skip
    memory = t.slider(4, 96, step=4, value=8, es="memoria, GB", en="memory, GB")
    kit.mo.hstack([size, memory], justify="start")
    return memory, size


@app.cell
def _(kit, memory, size, t):
    BYTES = {"int8": 1, "bfloat16": 2, "float32": 4, "Adam, float32": 16}
    needed = {name: size.value * 1e6 * number / 1e9 for name, number in BYTES.items()}
    _figure, _axes = kit.plot(6, 2.4)
    _axes.barh(
        list(needed),
        list(needed.values()),
        color=["tab:green" if g <= memory.value else "tab:red" for g in needed.values()],
    )
    _axes.axvline(memory.value, color="black", linestyle=":")
    _axes.set(xscale="log", xlabel="GB")
    _fits = [name for name, number in needed.items() if number <= memory.value]
    t.image(_figure, width=580,
            es=f"{size.value:,} millones de pesos con {memory.value} GB: " + (f"cabe en {' · '.join(_fits)}" if _fits else "no cabe"),
            en=f"{size.value:,} million weights with {memory.value} GB: " + (f"it fits as {' · '.join(_fits)}" if _fits else "nothing fits"))  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Las marcas del deslizador son modelos de esta lección: 3 (Calco), 34 (RF-DETR L), 900 (SAM 3), 4000 y 9000
        (FLUX.2 klein), 32 000 (FLUX.2 dev). Y el tiempo del nuestro, medido ahora en tu máquina:
        """,
        en="""
        The marks of the slider are models of this lesson: 3 (Calco), 34 (RF-DETR L), 900 (SAM 3), 4000 and 9000
        (FLUX.2 klein), 32,000 (FLUX.2 dev). And the time of ours, measured now on your machine:
        """,
    )
    return


@app.cell
def _(np, t):
    import time

    from calco.detection import load_detector
    from calco.lessons import scenes

    _detector = load_detector(scenes.detector(), device="cpu", precision="fp32")
    _image = scenes.background("speed", 192)
    _seconds = []
    for _ in range(8):
        _begun = time.perf_counter()
        _detector(_image)
        _seconds.append(time.perf_counter() - _begun)
    milliseconds = 1000 * float(np.median(_seconds))
    t(
        es=f"Una imagen a 96 píxeles: **{milliseconds:.0f} ms** en CPU. No es comparable con los milisegundos de una T4 con TensorRT "
        "a 640: otro tamaño, otra máquina, otras clases.",
        en=f"An image at 96 pixels: **{milliseconds:.0f} ms** on the CPU. It does not compare with the milliseconds of a T4 with "
        "TensorRT at 640: another size, another machine, other classes.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Evaluar y responder

        Un puntaje alto no autoriza un uso. La Federación de Científicos Americanos [contaba](https://fas.org/?p=42505)
        (6 de mayo de 2026) al menos nueve arrestos equivocados documentados en Estados Unidos, ligados a
        reconocimiento facial, con algoritmos que en condiciones controladas se equivocan una vez en mil. Entre el
        laboratorio y la calle cambian la foto, la prevalencia (la pregunta 12 del cuestionario 2.20) y quién revisa el
        aviso. En 2019 el NIST ya había [medido](https://doi.org/10.6028/NIST.IR.8280) tasas de falsos positivos muy
        distintas entre grupos de personas.

        La ley se mueve. En el **Perú**, el reglamento de la Ley 31814 (Decreto Supremo 115-2025-PCM, 9 de setiembre de
        2025) [clasifica los sistemas por
        riesgo](https://ebiz.pe/noticias/en-tres-meses-entra-en-vigencia-reglamento-de-la-ley-de-inteligencia-artificial)
        y prohíbe, entre otros, la vigilancia masiva sin base legal; rige desde el 22 de enero de 2026 [según
        Cuatrecasas](https://www.cuatrecasas.com/es/global/tecnologia-medios-digitales/art/que-establece-el-reglamento-de-la-ley-de-inteligencia-artificial).
        En la **Unión Europea**, las obligaciones de transparencia rigen desde el 2 de agosto de 2026, y las de alto
        riesgo [se aplazaron](https://www.decisionfocus.com/articles/eu-ai-act-blog) al 2 de diciembre de 2027 (acuerdo
        final del 29 de junio de 2026). Son resúmenes de terceros: antes de decidir, lee la norma.

        ## Dónde termina lo que pudimos comprobar

        Esta lección se escribió buscando en páginas guardadas, no leyendo cada artículo entero, y sin ejecutar ninguno
        de esos modelos. Las cifras son de sus autores. De lo publicado en la segunda mitad de 2026 seguramente falta
        mucho. Caducará: lo que no caduca es la manera de preguntar.

        ## Ejercicios

        **1.** ¿Cuál es el modelo más grande de la lista que se puede *entrenar* con Adam en 8 GB? ¿Y *usar* en int8?
        """,
        en="""
        ## To evaluate and to answer for

        A high score does not license a use. The Federation of American Scientists [counted](https://fas.org/?p=42505)
        (6 May 2026) at least nine documented wrongful arrests in the United States tied to face recognition, with
        algorithms that under controlled conditions err about once in a thousand. Between the laboratory and the
        street, the photo changes, and prevalence (question 12 of quiz 2.20), and who checks the alert. In 2019 NIST
        had already [measured](https://doi.org/10.6028/NIST.IR.8280) rates of false positives that differ widely
        between groups of people.

        The law is moving. In **Peru**, the regulation of Law 31814 (Supreme Decree 115-2025-PCM, 9 September 2025)
        [classifies systems by
        risk](https://ebiz.pe/noticias/en-tres-meses-entra-en-vigencia-reglamento-de-la-ley-de-inteligencia-artificial)
        and forbids, among others, mass surveillance without a legal basis; it has been in force since 22 January 2026
        [according to
        Cuatrecasas](https://www.cuatrecasas.com/es/global/tecnologia-medios-digitales/art/que-establece-el-reglamento-de-la-ley-de-inteligencia-artificial).
        In the **European Union**, duties of transparency apply since 2 August 2026, and those of high risk [were
        postponed](https://www.decisionfocus.com/articles/eu-ai-act-blog) to 2 December 2027 (final agreement of 29
        June 2026). These are summaries by third parties: before you decide, read the law.

        ## Where what we could check ends

        This lesson was written by searching stored pages, not by reading each paper as a whole, and without running
        any of these models. The figures are their authors'. Much of what was published in the second half of 2026 is
        surely missing. It will expire: what does not expire is the way to ask.

        ## Exercises

        **1.** Which is the largest model of the list that can be *trained* with Adam in 8 GB? And *used* in int8?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    _sizes = [1, 3, 10, 34, 100, 300, 900, 4000, 9000, 32000]
    _trained = max(s for s in _sizes if s * 16 / 1000 <= 8)
    _used = max(s for s in _sizes if s / 1000 <= 8)
    t.solution(
        es=f"""
        Entrenar: {_trained} millones ($16 \\cdot {_trained} / 1000 = {16 * _trained / 1000:.1f}$ GB; con los mapas de características,
        menos). Usar en int8: {_used:,} millones ({_used / 1000:.0f} GB); los 9000 millones ya no caben.
        """,
        en=f"""
        Train: {_trained} million ($16 \\cdot {_trained} / 1000 = {16 * _trained / 1000:.1f}$ GB; with feature maps, less). Use in int8:
        {_used:,} million ({_used / 1000:.0f} GB); the 9000 million no longer fit.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** En la figura, ¿qué modelo elegirías para una cámara con poca memoria? ¿Qué dato te falta para decidir?
        """,
        en="""
        **2.** In the figure, which model would you choose for a camera with little memory? Which figure is missing for
        a decision?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Por pesos, YOLO26n o s. Faltan casi todos los datos que importan: el tiempo en *esa* cámara, la licencia (AGPL-3.0 obliga a
        publicar tu código en muchos casos), y el AP en *tus* imágenes y clases, después del ajuste fino y con su intervalo.
        """,
        en="""
        By weights, YOLO26n or s. Almost all the figures that matter are missing: the time on *that* camera, the licence (AGPL-3.0 obliges
        to publish your code in many cases), and the AP on *your* images and classes, after fine-tuning and with its interval.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
