"""What the report says of the clips that probes are run on."""

from worldmodel_train.evaluation.probing.probe_scores import ProbeSuite, ProbeWords


def pen_stroke_words(suite: ProbeSuite) -> ProbeWords:
    """Of drawings, held out by who drew them."""
    return ProbeWords(
        title="Probes on pen strokes",
        measured_on=f"{suite.num_train} drawings to learn from and {suite.num_test} by other "
        "people to be tested on",
        splits=f"{suite.num_splits} ways of holding people out",
        caption="Accuracy on pen strokes, ± over people held out.",
        text="Handwritten characters (Omniglot), drawn stroke by stroke as video. The "
        "encoders stay frozen and never saw such clips; a probe learns a label from "
        f"{suite.num_train} clips and is tested on {suite.num_test} clips by other people.",
    )


def film_words(suite: ProbeSuite) -> ProbeWords:
    """Of films of `envs/balls`."""
    return ProbeWords(
        title="Questions about films",
        measured_on=f"{suite.num_train} films to learn from and {suite.num_test} to be tested on, "
        "for each question",
        splits=f"{suite.num_splits} ways of holding films out",
        caption="Accuracy on films of moving things, ± over films held out.",
        text="Things of random shape, colour, size and place move before random backgrounds. The "
        "encoders stay frozen and never saw these films; a probe learns the answer to a question "
        f"from {suite.num_train} films and is tested on {suite.num_test} others. Direction, speed "
        "and what is hidden are those of the film's end.",
    )


def view_words(suite: ProbeSuite) -> ProbeWords:
    """Of views of films of `envs/balls`."""
    of_films = film_words(suite)
    return of_films.model_copy(
        update={
            "title": "Questions about films of which views are seen",
            "caption": "Accuracy on views of films, ± over films held out; told by two views: "
            "share of the variance, mirrored: area under the ROC curve.",
            "text": of_films.text + " Here all features are of a few views of each film, the same "
            "for all: “aggregate” is what the model makes of them and of the changes between them, "
            "“mean of the views” the mean of their latents.",
        }
    )
