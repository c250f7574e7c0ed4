import torch

from worldmodel_train.evaluation.surprise.surprise import MatchedCurves
from worldmodel_train.evaluation.surprise.surprise_result import Surprised, draw_surprise


def test_kinds_have_a_panel_each_and_what_is_left_of_the_last_row_stays_empty():
    curves = MatchedCurves(possible=torch.zeros(1, 1, 3), impossible=torch.ones(1, 1, 3))
    one = Surprised(kind="pass_wall", curves={"trained": curves}, onset=((4,),), times=(2, 4, 6))
    axes = draw_surprise([one] * 6, tubelet=2, inches=(10.4, 4.4)).axes
    assert [panel.axison for panel in axes] == [True] * 6 + [False] * 2
    assert axes[0].get_title() == "pass wall"
    possible, impossible = axes[0].get_lines()[:2]
    assert possible.get_xdata().tolist() == [-1, 0, 1]
    assert impossible.get_ydata().tolist() == [1, 1, 1]
