"""GRPO with dynamic prompts (arXiv 2402.03300; with a prompt drawn for each example, 2602.03190)."""

from dataclasses import replace
from typing import ClassVar

from paft.config.schema import TrainingConfig
from paft.errors import UserError
from paft.methods.method import Method, MethodContext, TrainingJob, TrainingPlan
from paft.training.grpo.settings import GroupSettings


class Grpo(Method, GroupSettings):
    """Reinforcement learning on groups of answers, each group to one prompt that the run's sampler draws."""

    title: ClassVar[str] = "GRPO"

    init: str | None = None
    """A variant listed before this one, or the folder of an adapter, that training starts from; the base model if
    left out."""

    @property
    def initial_adapter(self) -> tuple[str, str] | None:
        """The setting ``init``."""
        return None if self.init is None else ("init", self.init)

    @property
    def own_code(self) -> dict[str, str]:
        """The setting ``reward``."""
        return {"reward": self.reward} if self.reward else {}

    @property
    def depends_on_evaluation(self) -> bool:
        """Rewards are what the evaluation would give an answer."""
        return True

    def check_training(self, training: TrainingConfig, key: str) -> None:
        """Refuse settings that leave nothing to compare, or keys of another loss."""
        if self.num_generations == 1:
            raise UserError(
                f"config key {key}.num_generations: 1 answer has no other to be compared with; use 2 or more"
            )
        if training.objective != "cross-entropy" or training.prompt_noise is not None:
            name = "objective" if training.prompt_noise is None else "prompt_noise"
            raise UserError(f"config key training.{name}: {key} has a loss of its own; leave it out there")
        if self.eval_steps is None:
            for name in ("eval_prompts", "eval_examples"):
                if getattr(self, name) is not None:
                    raise UserError(
                        f"config key {key}.{name}: nothing is held back without {key}.eval_steps; set it"
                    )
        if training.save_steps % self.num_iterations:
            raise UserError(
                f"config key training.save_steps: {training.save_steps} is no multiple of {key}.num_iterations "
                f"({self.num_iterations}); a checkpoint must not fall between steps on the same answers"
            )

    def check_job(self, job: TrainingJob) -> None:
        """Refuse a reward that cannot be called, an answer limit below every target, an unsuitable ``init``."""
        from paft.training.grpo.finetune import check_init
        from paft.training.grpo.rewards import make_reward
        from paft.training.grpo.validation import check_held_back

        data = job.data
        check_held_back(len(data.prompts), len(data.examples), self, job.key)
        make_reward(self.reward, job.scorers[0], data.task, f"{job.key}.reward")
        longest = self.longest(job)
        form = data.engine.format
        shortest = min(
            len(form.answer(text) + form.end) for text in {t for e in data.examples for t in data.task.targets(e)}
        )
        if longest < shortest:
            name = "evaluation.max_new_tokens" if self.max_completion_length is None else ""
            raise UserError(
                f"config key {name or f'{job.key}.max_completion_length'}: no answer of {longest} tokens can be "
                f"right; the shortest target has {shortest} with its end"
            )
        if job.training.init is not None:
            check_init(job.training.init, data.engine, job.training.lora, f"{job.key}.init")

    def plan(self, context: MethodContext) -> TrainingPlan:
        """Return all training prompts."""
        return TrainingPlan(context.prompts)

    def longest(self, job: TrainingJob) -> int:
        """Return the most tokens of an answer."""
        return self.max_completion_length or job.evaluation.max_new_tokens

    def train(self, job: TrainingJob) -> None:
        """Train on sampled answers."""
        from paft.training.grpo.finetune import finetune_groups
        from paft.training.grpo.rewards import make_reward
        from paft.training.grpo.trainer import GroupData
        from paft.training.grpo.validation import hold_back

        self.check_job(job)  # an adapter of the run is there only now
        data = job.data
        reward = make_reward(self.reward, job.scorers[0], data.task, f"{job.key}.reward")
        groups = GroupData(self, reward, self.longest(job), job.evaluation.stop)
        validation = hold_back(data.prompts, data.examples, self, data.seed)
        if validation is not None:
            data = replace(data, prompts=validation.train_prompts, examples=validation.train_examples)
        finetune_groups(data, groups, job.training, validation)
