"""One file per training method, which reads like a recipe from top to bottom.

Each file says what the method is (paper, equation), then gives its settings, its task (batch, loss, sample sheet), and
last the one public function that runs it: data, networks, loop, checkpoint.  The loop, the processes, the state on
disk and everything else that methods share is in `training/`; transformations of networks are in `slimming/`, the
mathematics of distillation in `distillation/`.

    autoencoder   L1 + LPIPS + KL
    unet          v- or epsilon-prediction on latents, with classifier-free dropout
    robust        continue training with random block dropout (stochastic depth)
    grow          add blocks that begin as the identity (Net2DeeperNet); no training
    evolve        remove the blocks that are worth least per millisecond (architecture evolving)
    distil        a student takes one step where its teacher takes two; guidance distillation
    consistency   latent consistency distillation
    decoder       prune the decoder's channels, and train it on the full decoder's pictures
    shards        encode a data set into shards, for sets that do not fit into memory
    text          fetch the text encoder; no training
"""
