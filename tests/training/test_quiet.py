"""Lightning's private members that are taken out are where they are expected."""

import logging
import signal
import warnings

import lightning.pytorch as pl
import pytest

from worldmodel_train.training.quiet import quiet_lightning, take_out_signal_handling

# where SLURM is installed
pytestmark = pytest.mark.filterwarnings("ignore:The `srun` command is available")


def test_lightning_registers_no_signal_handlers():
    trainer = pl.Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu"
    )
    take_out_signal_handling(trainer)
    before = signal.getsignal(signal.SIGTERM)
    trainer._signal_connector.register_signal_handlers()
    assert signal.getsignal(signal.SIGTERM) is before


def test_nothing_is_broadcast_before_a_batch():
    trainer = pl.Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu"
    )
    take_out_signal_handling(trainer)
    # would raise SIGTERMException, or fail for want of a process group
    trainer._signal_connector.received_sigterm = True
    assert trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor() is None


def test_levels_come_back_after_an_error():
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level

    @quiet_lightning()
    def fail():
        assert logger.level == logging.ERROR
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert logger.level == before


def test_other_warnings_are_still_heard():
    with quiet_lightning(), pytest.warns(UserWarning, match="ours"):
        warnings.warn("ours", stacklevel=1)
