import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 2.20 · Cuestionario de detección · Detection quiz")


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
        "2.20",
        es="""
        Doce preguntas sobre las lecciones 2.1 a 2.19. Ninguna es de memoria: ten a mano papel y lápiz. Al responder se abre
        por qué cada opción es correcta o no, así que equivocarse también enseña.
        """,
        en="""
        Twelve questions on lessons 2.1 to 2.19. None of them is about memory: have paper and pencil at hand. Each answer
        opens why every choice is right or wrong, so that mistakes teach too.
        """,
    )
    return (t,)


@app.cell(hide_code=True)
def _(kit):
    QUESTIONS = (
        kit.Question(
            es="Dos cuadrados de 20 píxeles; uno está 10 a la derecha del otro. ¿Cuánto vale su IoU?",
            en="Two squares of 20 pixels; one lies 10 to the right of the other. What is their IoU?",
            choices=(
                kit.Choice(
                    es="1/2",
                    en="1/2",
                    why_es="Es la parte de *cada caja* que comparten; falta dividir entre la unión.",
                    why_en=(
                        "That is the share of *each box* that they have in common; it has to be divided by the union."
                    ),
                ),
                kit.Choice(
                    es="1/3",
                    en="1/3",
                    why_es="Comparten 200 píxeles y cubren 400 + 400 − 200 = 600.",
                    why_en="They share 200 pixels and cover 400 + 400 − 200 = 600.",
                    right=True,
                ),
                kit.Choice(
                    es="2/3",
                    en="2/3",
                    why_es="La intersección es 200, no 400.",
                    why_en="The intersection is 200, not 400.",
                ),
            ),
        ),
        kit.Question(
            es="Una ventana de 32 × 32 recorre una imagen de 128 × 128 con paso 16. ¿Cuántas ventanas son?",
            en="A window of 32 × 32 slides over an image of 128 × 128 in steps of 16. How many windows are these?",
            choices=(
                kit.Choice(
                    es="16",
                    en="16",
                    why_es="Serían 4 por lado, con paso 32.",
                    why_en="That would be 4 to a side, with a step of 32.",
                ),
                kit.Choice(
                    es="49",
                    en="49",
                    why_es="(128 − 32) / 16 + 1 = 7 por lado, y 7 · 7 = 49.",
                    why_en="(128 − 32) / 16 + 1 = 7 to a side, and 7 · 7 = 49.",
                    right=True,
                ),
                kit.Choice(
                    es="64",
                    en="64",
                    why_es="128 / 16 = 8 por lado olvida que la última ventana debe caber entera.",
                    why_en="128 / 16 = 8 to a side forgets that the last window must fit as a whole.",
                ),
            ),
        ),
        kit.Question(
            es=(
                "Tres cajas de una clase: A (0,9), B (0,8; IoU con A de 0,6) y C (0,7; IoU con A de 0,3 y con B "
                "de 0,7). ¿Qué deja la NMS con límite 0,5?"
            ),
            en=(
                "Three boxes of one class: A (0.9), B (0.8; IoU with A 0.6) and C (0.7; IoU with A 0.3, with B "
                "0.7). What does NMS with the limit 0.5 keep?"
            ),
            choices=(
                kit.Choice(
                    es="Solo A",
                    en="A alone",
                    why_es="C se solapa mucho con B, pero B ya fue eliminada y no puede eliminar a nadie.",
                    why_en="C overlaps B by much, but B is gone already and can drop nobody.",
                ),
                kit.Choice(
                    es="A y C",
                    en="A and C",
                    why_es="A elimina a B (0,6 > 0,5). C solo se compara con las que quedan: con A, 0,3.",
                    why_en="A drops B (0.6 > 0.5). C is only compared with those that stay: with A, 0.3.",
                    right=True,
                ),
                kit.Choice(
                    es="A y B",
                    en="A and B",
                    why_es="B tiene IoU 0,6 con A, sobre el límite: cae.",
                    why_en="B has an IoU of 0.6 with A, above the limit: it falls.",
                ),
            ),
        ),
        kit.Question(
            es="Un detector dio 10 cajas, 8 correctas, en imágenes con 16 objetos. ¿Precisión y exhaustividad?",
            en="A detector gave 10 boxes, 8 of them right, in images with 16 objects. Precision and recall?",
            choices=(
                kit.Choice(
                    es="0,8 y 0,5",
                    en="0.8 and 0.5",
                    why_es="8 de 10 cajas son correctas; 8 de 16 objetos se encontraron.",
                    why_en="8 of 10 boxes are right; 8 of 16 objects were found.",
                    right=True,
                ),
                kit.Choice(
                    es="0,5 y 0,8",
                    en="0.5 and 0.8",
                    why_es=(
                        "Están cambiadas: la precisión se divide entre las cajas; la exhaustividad, entre los objetos."
                    ),
                    why_en="They are exchanged: precision is over the boxes, recall over the objects.",
                ),
                kit.Choice(
                    es="0,8 y 0,8",
                    en="0.8 and 0.8",
                    why_es="Faltan los 8 objetos perdidos.",
                    why_en="The 8 missed objects are left out.",
                ),
            ),
        ),
        kit.Question(
            es="Subes el umbral de puntaje. ¿Qué pasa *siempre*?",
            en="You raise the threshold of the score. What happens *always*?",
            choices=(
                kit.Choice(
                    es="La precisión sube",
                    en="Precision rises",
                    why_es="Suele subir, pero puede bajar si las cajas con mayor puntaje son falsas.",
                    why_en="It usually does, but may fall where the boxes with the highest scores are false.",
                ),
                kit.Choice(
                    es="La exhaustividad no sube",
                    en="Recall does not rise",
                    why_es="Quitar cajas nunca encuentra un objeto más: baja o se queda igual.",
                    why_en="To remove boxes never finds one more object: it falls or stays.",
                    right=True,
                ),
                kit.Choice(
                    es="El mAP sube",
                    en="mAP rises",
                    why_es="El mAP recorre todos los umbrales; cortar por abajo solo puede quitarle área.",
                    why_en="mAP runs through all thresholds; cutting from below can only take area from it.",
                ),
            ),
        ),
        kit.Question(
            es="Un detector tiene mAP50 de 0,90 y mAP75 de 0,45. ¿Qué dice eso?",
            en="A detector has a mAP50 of 0.90 and a mAP75 of 0.45. What does it say?",
            choices=(
                kit.Choice(
                    es="Confunde clases",
                    en="It confuses classes",
                    why_es="Entonces también el mAP50 sería bajo.",
                    why_en="Then mAP50 would be low as well.",
                ),
                kit.Choice(
                    es="Encuentra los objetos, pero sus cajas son flojas",
                    en="It finds the objects, but its boxes are loose",
                    why_es="Con IoU de 0,5 acierta y con 0,75 ya no: falla el ajuste.",
                    why_en="It is right at an IoU of 0.5 and no longer at 0.75: the fit is what fails.",
                    right=True,
                ),
                kit.Choice(
                    es="Está sobreajustado",
                    en="It overfits",
                    why_es="Eso se ve comparando entrenamiento y prueba, no dos umbrales de IoU.",
                    why_en="That is seen by comparing training with test, not two limits of IoU.",
                ),
            ),
        ),
        kit.Question(
            es="Reflejas la imagen (ancho 100) y la caja es [10, 20, 40, 60]. ¿Cuál es la nueva caja?",
            en="You mirror the image (width 100), and the box is [10, 20, 40, 60]. What is the new box?",
            choices=(
                kit.Choice(
                    es="[90, 20, 60, 60]",
                    en="[90, 20, 60, 60]",
                    why_es="La izquierda quedó a la derecha de la derecha: una caja invertida.",
                    why_en="Left lies to the right of right: an inverted box.",
                ),
                kit.Choice(
                    es="[60, 20, 90, 60]",
                    en="[60, 20, 90, 60]",
                    why_es="100 − 40 = 60 y 100 − 10 = 90: izquierda y derecha cambian de papel.",
                    why_en="100 − 40 = 60 and 100 − 10 = 90: left and right exchange their parts.",
                    right=True,
                ),
                kit.Choice(
                    es="[10, 20, 40, 60]",
                    en="[10, 20, 40, 60]",
                    why_es="La etiqueta vive en el plano de la imagen: debe moverse con ella.",
                    why_en="The label lives in the plane of the image: it must move with it.",
                ),
            ),
        ),
        kit.Question(
            es="¿Qué montón se aumenta?",
            en="Which pile is augmented?",
            choices=(
                kit.Choice(
                    es="Los tres, para que sean comparables",
                    en="All three, so that they compare",
                    why_es="La validación y la prueba miden el mundo como es.",
                    why_en="Validation and test measure the world as it is.",
                ),
                kit.Choice(
                    es="Solo el entrenamiento",
                    en="Training alone",
                    why_es="El aumento enseña; lo que mide se deja como es.",
                    why_en="Augmentation teaches; what measures is left as it is.",
                    right=True,
                ),
                kit.Choice(
                    es="Entrenamiento y validación",
                    en="Training and validation",
                    why_es="La validación elegiría el modelo por imágenes que no existen.",
                    why_en="Validation would choose the model by images that do not exist.",
                ),
            ),
        ),
        kit.Question(
            es="Tienes 1000 cuadros de 10 videos. ¿Cómo separas la prueba?",
            en="You have 1000 frames of 10 videos. How do you split off the test?",
            choices=(
                kit.Choice(
                    es="100 cuadros al azar",
                    en="100 frames at random",
                    why_es="Cada uno tendría su vecino casi idéntico en el entrenamiento: fuga.",
                    why_en="Each would have an almost equal neighbour in training: leakage.",
                ),
                kit.Choice(
                    es="El primer décimo de cada video",
                    en="The first tenth of each video",
                    why_es="Mismo lugar, misma cámara, mismas personas en los dos lados.",
                    why_en="The same place, camera and people on both sides.",
                ),
                kit.Choice(
                    es="Uno o dos videos enteros",
                    en="One or two whole videos",
                    why_es=(
                        "El grupo emparentado queda de un solo lado. El intervalo será ancho, y es honesto que lo sea."
                    ),
                    why_en="The related group stays on one side. The interval will be wide, and honestly so.",
                    right=True,
                ),
            ),
        ),
        kit.Question(
            es="En el ajuste fino, ¿por qué el backbone aprende más despacio que la cabeza?",
            en="In fine-tuning, why does the backbone learn more slowly than the head?",
            choices=(
                kit.Choice(
                    es="Porque tiene más pesos",
                    en="Because it has more weights",
                    why_es="El número de pesos no fija la tasa.",
                    why_en="The number of weights does not set the rate.",
                ),
                kit.Choice(
                    es="Porque ya está cerca de algo bueno, y los gradientes de una cabeza al azar lo arruinarían",
                    en="Because it is near to something good, and the gradients of a random head would spoil it",
                    why_es="Exacto: se conserva lo que costó un millón de fotos mientras la cabeza se ordena.",
                    why_en="Exactly: what cost a million photos is kept while the head falls into place.",
                    right=True,
                ),
                kit.Choice(
                    es="Para ahorrar memoria",
                    en="To save memory",
                    why_es="La tasa no cambia la memoria; congelar etapas, sí.",
                    why_en="The rate does not change memory; freezing stages does.",
                ),
            ),
        ),
        kit.Question(
            es=(
                "La pérdida de entrenamiento baja sin parar y el mAP de validación lleva diez controles bajando. "
                "¿Qué es y qué haces?"
            ),
            en=(
                "The training loss keeps falling, and the mAP of validation has been falling for ten checks. What "
                "is it, and what do you do?"
            ),
            choices=(
                kit.Choice(
                    es="Falta entrenar: más épocas",
                    en="Too little training: more epochs",
                    why_es="Más de lo mismo empeora lo que ya cae.",
                    why_en="More of the same makes worse what is falling already.",
                ),
                kit.Choice(
                    es="Sobreajuste: más datos o aumento, congelar más, y quedarse con el mejor punto de control",
                    en="Overfitting: more data or augmentation, freeze more, and keep the best checkpoint",
                    why_es="La red memoriza el entrenamiento; el punto de control guardado es el de mejor validación.",
                    why_en=(
                        "The network memorises training; the checkpoint that is kept is that with the best validation."
                    ),
                    right=True,
                ),
                kit.Choice(
                    es="Tasa muy baja: subirla",
                    en="Too low a rate: raise it",
                    why_es="Con tasa muy baja no se movería ninguna de las dos curvas.",
                    why_en="With too low a rate neither curve would move.",
                ),
            ),
        ),
        kit.Question(
            es=(
                "Buscas algo presente en 1 de cada 1000 personas. El detector encuentra el 90 % y da una falsa "
                "alarma en 1 de cada 100 personas. De 100 avisos, ¿cuántos son ciertos, más o menos?"
            ),
            en=(
                "You look for something that 1 in 1000 people carries. The detector finds 90%, and gives a false "
                "alarm for 1 in 100 people. Of 100 alerts, about how many are right?"
            ),
            choices=(
                kit.Choice(
                    es="90",
                    en="90",
                    why_es="Esa es la parte de los buscados que encuentra, no la parte de avisos ciertos.",
                    why_en="That is the share of the sought that it finds, not the share of alerts that are right.",
                ),
                kit.Choice(
                    es="50",
                    en="50",
                    why_es="Haría falta que hubiera tantos buscados como falsas alarmas.",
                    why_en="There would have to be as many sought as false alarms.",
                ),
                kit.Choice(
                    es="8",
                    en="8",
                    why_es=(
                        "En 1000 personas: 0,9 avisos ciertos y unos 10 falsos; 0,9 / 10,9 ≈ 8 %. La prevalencia manda."
                    ),
                    why_en=(
                        "In 1000 people: 0.9 right alerts and about 10 false ones; 0.9 / 10.9 ≈ 8%. Prevalence rules."
                    ),
                    right=True,
                ),
            ),
        ),
    )
    return (QUESTIONS,)


@app.cell(hide_code=True)
def _(QUESTIONS, t):
    answers = t.quiz(QUESTIONS)
    answers.vstack(gap=1)
    return (answers,)


@app.cell(hide_code=True)
def _(QUESTIONS, answers, t):
    t.marks(QUESTIONS, answers.value)
    return


if __name__ == "__main__":
    app.run()
