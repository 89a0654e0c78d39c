"""A thread with every kind of reply, in both languages: what the page must be able to show."""

import math

from bot.replies import (
    Answer,
    Caution,
    Choice,
    Comparison,
    ComparisonRow,
    Curve,
    DatasetCard,
    Fact,
    Form,
    FormField,
    FormSection,
    Item,
    Listing,
    Log,
    Notice,
    Question,
    Reply,
    Review,
    ReviewRow,
    ReviewSection,
    RunCard,
    Said,
    Segment,
    Text,
)

Body = Said | Reply


def curve(label: str, *, every: int, last: int, shift: float) -> Curve:
    """A loss that falls."""
    points = [(step, 0.4 + shift + 1.8 * math.exp(-step / 45)) for step in range(every, last + 1, every)]
    return Curve(label=label, points=tuple(points))


def english() -> list[Body]:
    """The thread of the mock, and the kinds that it lacks."""
    return [
        Said(text="", files=("support.jsonl",)),
        DatasetCard(
            title="support.jsonl",
            subtitle="Alpaca, instruction tuning",
            facts=(
                Fact(value="1,204", label="rows"),
                Fact(value="212,930", label="tokens (SmolLM2)"),
                Fact(value="7", label="problems", tone="bad"),
            ),
            problems=(
                "Line 118: `output` is empty.",
                "Line 402: not JSON (a bracket is missing).",
                "Line 977: the same row as line 12.",
                "Line 1001: `instruction` is missing.",
                "Line 1002: `instruction` is missing.",
                "Line 1003: `instruction` is missing.",
                "Line 1004: `instruction` is missing.",
            ),
            more_label="Show {n} more",
            less_label="Show fewer",
            notes=("All rows carry one system prompt; it becomes the tuned model's own.",),
            samples_label="As the model will see it (it learns the marked part):",
            samples=(
                (
                    Segment(text="<user> Can I return opened headphones?\n<assistant> "),
                    Segment(text="Yes, within 30 days, in the box they came in.", is_learned=True),
                ),
            ),
            choices=(
                Choice(say="drop", label="Drop the 7 rows", style="primary"),
                Choice(say="all problems", label="All problems"),
                Choice(say="columns", label="Columns"),
            ),
            key="dataset:1",
        ),
        Question(
            id="preset",
            markdown="How thorough? **Balanced** fits: 1,201 rows are enough for three passes.",
            choices=(
                Choice(say="quick", label="Quick look", detail="2 min, to see whether it works"),
                Choice(say="balanced", label="Balanced", detail="14 min, recommended", style="primary"),
                Choice(say="best", label="Best", detail="50 min"),
                Choice(say="custom", label="Set everything", detail="34 fields"),
            ),
            hints=(
                Choice(say="back", label="Back"),
                Choice(say="what is this?", label="What is this?"),
                Choice(say="cancel", label="Cancel"),
            ),
            key="question:1",
        ),
        Said(text="balanced, but rank 16"),
        Question(
            id="base_model",
            markdown="Which model shall learn?",
            choices=(Choice(say="smollm2", label="SmolLM2"),),
            answered="SmolLM2-135M-Instruct",
            key="question:2",
        ),
        Review(
            title="The plan",
            subtitle="About 12-16 min on this machine, 3.1 GB of 22 GB",
            sections=(
                ReviewSection(
                    title="",
                    rows=(
                        ReviewRow(name="base_model", label="Base model", value="SmolLM2-135M-Instruct", origin="you"),
                        ReviewRow(name="method", label="Method", value="LoRA, rank 16", origin="you"),
                        ReviewRow(name="learning_rate", label="Learning rate", value="1e-4", origin="preset"),
                        ReviewRow(name="epochs", label="Epochs", value="3 = 225 steps", origin="preset"),
                        ReviewRow(
                            name="cutoff_length",
                            label="Cut-off",
                            value="512 tokens, keeps 99.3 % of rows whole",
                            origin="computed",
                        ),
                    ),
                ),
                ReviewSection(
                    title="LoRA",
                    rows=(
                        ReviewRow(name="lora_alpha", label="Alpha", value="32", origin="computed"),
                        ReviewRow(name="lora_dropout", label="Dropout", value="0.05", origin="preset"),
                    ),
                    is_folded=True,
                ),
                ReviewSection(
                    title="Advanced",
                    rows=(ReviewRow(name="seed", label="Seed", value="42", origin="preset"),),
                    is_folded=True,
                ),
            ),
            warnings=(
                Caution(
                    text="8 rows are longer than 512 tokens; their answers are cut.",
                    remedy=Choice(say="cutoff_length=1024", label="Use 1024"),
                ),
                Caution(text="The GPU has no room for rank 256.", tone="bad"),
            ),
            choices=(
                Choice(say="start", label="Start", style="primary"),
                Choice(say="change", label="Change"),
                Choice(say="cancel", label="Cancel"),
            ),
            key="review:1",
        ),
        Form(
            id="form",
            title="Every parameter",
            intro="Empty fields take the proposed value.",
            sections=(
                FormSection(
                    title="Hyperparameters",
                    fields=(
                        FormField(
                            name="learning_rate",
                            label="Learning rate",
                            value="fast",
                            kind="number",
                            error="“fast” is not a number. Try `1e-4`.",
                        ),
                        FormField(name="epochs", label="Epochs", value="3", kind="number", help="Recommended: 1 to 5."),
                        FormField(
                            name="scheduler",
                            label="Scheduler",
                            value="cosine",
                            kind="choice",
                            options=(Choice(say="cosine", label="cosine"), Choice(say="linear", label="linear")),
                        ),
                        FormField(
                            name="packing",
                            label="Packing",
                            value="off",
                            kind="switch",
                            options=(Choice(say="on", label="on"), Choice(say="off", label="off")),
                        ),
                    ),
                ),
                FormSection(title="LoRA", fields=(FormField(name="lora_rank", label="Rank", value="16"),)),
            ),
            submit_label="Take these",
            choices=(Choice(say="back", label="Back"),),
            key="form:1",
        ),
        RunCard(
            title="support-1",
            status="running",
            fraction=0.62,
            facts=("step 140 of 225, 5 min left", "training 0.41, validation 0.52"),
            curves=(
                curve("training", every=2, last=140, shift=0.0),
                curve("validation", every=20, last=140, shift=0.1),
            ),
            chart_label="Loss by step",
            step_label="step",
            loss_label="loss",
            choices=(Choice(say="/stop support-1", label="Stop", style="danger"), Choice(say="/logs", label="Logs")),
            key="run:1",
        ),
        RunCard(
            title="support-2",
            status="failed",
            tone="bad",
            fraction=0.2,
            is_live=False,
            facts=("step 45 of 225",),
            note="The machine ran out of memory. Retry with a smaller batch; it goes on from step 40.",
            log_lines=("step 44 loss 1.23", "step 45 loss 1.20", "Killed"),
            choices=(Choice(say="/retry support-2", label="Retry", style="primary"),),
            key="run:2",
        ),
        RunCard(title="support-1", status="preparing", fraction=None, facts=("vLLM is starting",), key="service:1"),
        Comparison(
            intro="Finished in 13 min (promised 12-16). The same questions, before and after:",
            base_label="SmolLM2",
            tuned_label="support-1",
            rows=(
                ComparisonRow(
                    question="Can I return opened headphones?",
                    base="You should contact the manufacturer for their return policy.\n\n- call\n- mail",
                    tuned="Yes, within 30 days, in the box they came in.",
                ),
                ComparisonRow(question="Who are you?", base="I am an assistant.", tuned="I am **Nova**, made by Acme."),
            ),
            key="comparison:1",
        ),
        Notice(text="You are talking to **support-1**"),
        Said(text="and after 40 days?"),
        Answer(
            author="support-1",
            speaker="tuned",
            markdown="After 30 days we can offer one of these, but no refund:\n\n1. Repair\n2. Credit note",
            state="complete",
            key="answer:1",
        ),
        Answer(
            author="SmolLM2 (base)",
            speaker="base",
            markdown="As an AI, note:this may differ. ![cat](https://example.org/cat.png)",
            state="stopped",
            note="Stopped.",
            key="answer:2",
        ),
        Text(
            markdown="There is no command `/fintune`. Did you mean `/finetune`?",
            choices=(Choice(say="/finetune", label="/finetune"), Choice(say="/help", label="/help")),
            tone="warning",
        ),
        Text(markdown="Something went wrong on my side. Nothing you gave is lost.", tone="bad"),
        Listing(
            title="Runs",
            items=(
                Item(
                    title="support-1",
                    detail="SmolLM2-135M-Instruct on support.jsonl",
                    status="succeeded",
                    tone="good",
                    choices=(Choice(say="/deploy support-1", label="Deploy"),),
                ),
                Item(
                    title="support-2",
                    detail="SmolLM2-135M-Instruct on support.jsonl",
                    status="failed",
                    tone="bad",
                    choices=(
                        Choice(say="/retry support-2", label="Retry"),
                        Choice(say="/logs support-2", label="Logs"),
                    ),
                ),
            ),
            choices=(Choice(say="/finetune", label="Fine-tune a model", style="primary"),),
        ),
        Log(title="support-2, last lines", text="step 44 loss 1.23\nstep 45 loss 1.20\nKilled"),
        Answer(
            author="support-1",
            speaker="tuned",
            markdown="We can offer a",
            state="streaming",
            choices=(Choice(say="/stop answer", label="Stop generating"),),
            key="answer:3",
        ),
    ]


def chinese() -> list[Body]:
    """The same thread's course in Chinese."""
    return [
        Said(text="", files=("客服问答.jsonl",)),
        DatasetCard(
            title="客服问答.jsonl",
            subtitle="Alpaca，指令监督微调",
            facts=(
                Fact(value="1,204", label="行"),
                Fact(value="212,930", label="词元（SmolLM2）"),
                Fact(value="3", label="处问题", tone="bad"),
            ),
            problems=(
                "第 118 行：`output` 为空。",
                "第 402 行：不是 JSON（缺少括号）。",
                "第 977 行：与第 12 行重复。",
            ),
            samples_label="模型看到的样子（学习标出的部分）：",
            samples=(
                (
                    Segment(text="<user> 已拆封的耳机可以退吗？\n<assistant> "),
                    Segment(text="可以，30 天内，请连同原包装一起寄回。", is_learned=True),
                ),
            ),
            choices=(
                Choice(say="去掉", label="去掉这 3 行", style="primary"),
                Choice(say="全部问题", label="全部问题"),
                Choice(say="字段映射", label="字段映射"),
            ),
            key="dataset:1",
        ),
        Question(
            id="preset",
            markdown="训练到什么程度？推荐 **均衡**：1,201 行足够训练三轮。",
            choices=(
                Choice(say="快速试跑", label="快速试跑", detail="2 分钟，先看看效果"),
                Choice(say="均衡", label="均衡", detail="14 分钟，推荐", style="primary"),
                Choice(say="最佳", label="最佳", detail="50 分钟"),
                Choice(say="全部自己设", label="全部自己设", detail="34 项"),
            ),
            hints=(Choice(say="返回", label="返回"), Choice(say="取消", label="取消")),
            key="question:1",
        ),
        Said(text="均衡，秩改成 16"),
        Review(
            title="计划",
            subtitle="本机约 12-16 分钟，内存 3.1 GB / 22 GB",
            sections=(
                ReviewSection(
                    title="基础配置",
                    rows=(
                        ReviewRow(name="base_model", label="基础模型", value="SmolLM2-135M-Instruct", origin="您"),
                        ReviewRow(name="method", label="微调方法", value="LoRA，秩 16", origin="您"),
                        ReviewRow(name="learning_rate", label="学习率", value="1e-4", origin="预设"),
                    ),
                ),
            ),
            warnings=(
                Caution(
                    text="有 8 行超过 512 个词元，答案会被截断。",
                    remedy=Choice(say="截断长度=1024", label="改用 1024"),
                ),
            ),
            choices=(
                Choice(say="开始", label="开始", style="primary"),
                Choice(say="修改", label="修改"),
                Choice(say="取消", label="取消"),
            ),
            key="review:1",
        ),
        RunCard(
            title="support-1",
            status="训练中",
            fraction=0.62,
            facts=("第 140 步，共 225 步，还剩 5 分钟", "训练 0.41，验证 0.52"),
            curves=(
                curve("训练", every=2, last=140, shift=0.0),
                curve("验证", every=20, last=140, shift=0.1),
            ),
            chart_label="损失随步数的变化",
            step_label="步数",
            loss_label="损失",
            choices=(Choice(say="/stop support-1", label="停止", style="danger"), Choice(say="/logs", label="日志")),
            key="run:1",
        ),
        Comparison(
            intro="用时 13 分钟（预计 12-16）。同一个问题，微调前后：",
            base_label="SmolLM2",
            tuned_label="support-1",
            rows=(
                ComparisonRow(
                    question="已拆封的耳机可以退吗？",
                    base="您可以联系制造商了解……",
                    tuned="可以，30 天内，请连同原包装一起寄回。",
                ),
            ),
            key="comparison:1",
        ),
        Notice(text="正在与 **support-1** 对话"),
        Said(text="超过 40 天呢？"),
        Answer(
            author="support-1",
            speaker="tuned",
            markdown="超过 30 天可以维修或换成抵用券，但不能退款。",
            state="complete",
            key="answer:1",
        ),
    ]
