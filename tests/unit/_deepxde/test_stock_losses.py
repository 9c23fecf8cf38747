"""DeepXDE's losses before it weighs and stacks them."""

import deepxde as dde
import pytest
from _support import scripts

from deepxde_balance._deepxde.batch import Batch
from deepxde_balance._deepxde.stock_losses import deepxde_losses


@pytest.mark.parametrize("own", [False, True])
def test_the_data_object_is_left_as_it_was(own):
    """Also where a script has put a function of its own into the object."""
    data = scripts.klein_gordon()
    model = dde.Model(data, scripts.network())
    model.compile("adam", lr=1e-3, loss_weights=[1, 2, 3, 4], verbose=0)
    if own:
        original = data.losses_train
        data.losses_train = lambda *args, **kwargs: [2 * loss for loss in original(*args, **kwargs)]
    before = dict(vars(data))
    losses = deepxde_losses(model, Batch(*data.train_next_batch())).losses
    assert vars(data) == before
    _, weighed = model.outputs_losses_train(*data.train_next_batch())
    expected = (weighed / weighed.new_tensor([1, 2, 3, 4])).tolist()
    assert [loss.item() for loss in losses] == pytest.approx(expected)
