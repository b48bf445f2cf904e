"""Where a step runs out of memory: once more, in pieces of half the size."""

import torch


class HalvesPieces:
    """What a Trainer inherits whose steps are gone through in pieces of at most `tokens` tokens.

    It defines `_step_in_pieces`: loss, and gradients left in the model. also_lower: what else takes less memory.
    """

    tokens: int
    also_lower: str

    def _step_that_fits(self, model, inputs) -> torch.Tensor:
        """`_step_in_pieces`, and where memory runs out once more with half the `tokens`, which then stay so.

        Raises:
            RuntimeError: memory ran out again, or in one of several processes; the message says what to lower.
        """
        loss = self._step_unless_out_of_memory(model, inputs)
        if loss is None:  # outside of any `except`, which would keep what the failed step had in memory
            model.zero_grad()
            self._forget_step()
            torch.cuda.empty_cache()
            try:
                loss = self._step_in_pieces(model, inputs)
            except torch.OutOfMemoryError as error:
                raise self._advice() from error
        return loss

    def _forget_step(self) -> None:
        """Drop what a failed attempt noted beside gradients."""

    def _step_unless_out_of_memory(self, model, inputs) -> torch.Tensor | None:
        try:
            return self._step_in_pieces(model, inputs)
        except torch.OutOfMemoryError as error:
            if self.accelerator.num_processes > 1:  # the others wait for this one in the middle of the step
                raise self._advice() from error
        self.tokens = max(1, self.tokens // 2)
        print(f"step {self.state.global_step + 1}: out of memory; going on with tokens={self.tokens}", flush=True)
        return None

    def _advice(self) -> RuntimeError:
        return RuntimeError(
            f"step {self.state.global_step + 1}: out of memory: lower tokens (now {self.tokens}), {self.also_lower}"
        )
