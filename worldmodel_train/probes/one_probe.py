"""What classifiers have in common that train one head, and look at each clip by itself."""

from collections.abc import Sequence

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from worldmodel_train.probes.answers import Answers
from worldmodel_train.protocols import EmaPair
from worldmodel_train.types import Clips, Losses


class OneProbe(nn.Module):
    """The losses and probabilities of a `Classifier` of one probe, which says its logits."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self.answers = answers

    def logits(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b classes"]:
        """One number for each class, in fp32."""
        raise NotImplementedError

    def num_segments(self) -> int:
        """A clip is looked at by itself; several of a video are several examples."""
        return 1

    def training_losses(self, content: Clips) -> Losses:
        """The loss of the clips' labels, and the share of them that is named rightly."""
        assert content.labels is not None, "the recipe has been checked"
        logits = self.logits(content.pixels)
        right = self.answers.accuracy(logits, content.labels)
        return Losses(
            total=self.answers.loss(logits, content.labels), terms={"accuracy": right.detach()}
        )

    def probabilities(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "1 b classes"]:
        """Of each class, for each clip."""
        return self.answers.probabilities(self.logits(clips)[None])

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Nothing follows."""
        return ()
