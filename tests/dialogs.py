"""Guided conversations as lists of (said, answered): after each turn all words divided by ``|`` must be shown.

A tuned model ``nova-1`` is there. ``FILE:<name>`` drops a file of that name.
``about=<question> <text>`` presses a button of that question. ``ENDED:<run>`` is said by nobody: the run fails.
"""

Dialog = tuple[tuple[str, str], ...]

IDENTITY: Dialog = (
    ("FILE:identity.jsonl", "identity.jsonl|Alpaca|40|tokens (tiny-instruct)|I am {{name}}|in place of `{{name}}`"),
    ("Nova", "in place of `{{author}}`|such as your company"),
    ("Acme", "Which base model?|tiny-instruct|135 M parameters|apache-2.0|Add my own model"),
    ("1", "How thorough?|Quick|Balanced|recommended|min"),
    ("balanced, but rank 16", "Noted: LoRA rank 16|The plan: identity-1|on this machine|steps|you|preset|computed"),
    ("start", "identity-1"),
)

IDENTITY_ZH: Dialog = (
    ("FILE:identity.jsonl", "identity.jsonl|Alpaca|行|词元（tiny-instruct）|数据里的 `{{name}}` 应该换成什么"),
    ("小星", "数据里的 `{{author}}` 应该换成什么"),
    ("极光科技", "用哪个基础模型|tiny-instruct|添加我自己的模型"),
    ("跳过", "训练到什么程度|快速|均衡|推荐"),
    ("均衡，秩改成 16", "已记下：LoRA秩 16|计划：identity-1|本机约|内存"),
    ("学习率改成 1e-4", "已记下：学习率 1e-4|计划：identity-1"),
    ("开始", "identity-1"),
)

SUPPORT: Dialog = (
    ("FILE:support.jsonl", "3|problems|All problems|3 rows cannot be trained|Leave out the 3 rows"),
    ("skip", "only when you say so|3 rows cannot be trained"),
    ("what?", "3 rows cannot be trained"),
    ("all problems", "Line 201|3 rows cannot be trained"),
    ("leave them out", "Which base model?"),
    ("tiny", "How thorough?"),
    ("quick", "support, 200 rows (3 left out)"),
)

SUPPORT_ZH: Dialog = (
    ("FILE:support.jsonl", "处问题|全部问题|有 3 行无法用于训练|去掉这 3 行"),
    ("跳过", "只有您同意才会去掉这些行"),
    ("去掉", "用哪个基础模型"),
    ("tiny-instruct", "训练到什么程度"),
    ("快速试跑", "support，200 行（去掉 3 行）"),
    ("修改", "全部设置|学习率"),
    ("轮数 2", "已记下：训练轮数 2|计划：support-1"),
    ("取消", "计划已取消"),
)

WITHOUT_FILE: Dialog = (
    ("/finetune", "Which data set do you want to learn from?|The example data"),
    ("skip", "cannot choose the data for you"),
    ("back", "This is the first question"),
    ("no-such-data", "no data set “no-such-data”|Which data set"),
    ("the example data", "mira-bike-workshop.jsonl|Chinese|Chinese 50%|Which base model?"),
    ("what is this?", "The base model is what your data is taught to|Which base model?"),
    ("gpt-9", "no base model “gpt-9”|Which base model?"),
    ("tiny-instrct", "How thorough?"),
    ("back", "Which base model?"),
    ("skip", "How thorough?"),
    ("9", "no choice 9; there are 4|How thorough?"),
    ("2 epochs", "Noted: Epochs 2|How thorough?"),
    ("lr 5", "Learning rate|How thorough?"),
    ("what is lora rank?", "LoRA rank|How thorough?"),
    ("custom", "All settings|Learning rate|LoRA rank"),
    ("rank 4, experiment=Mira", "“Mira” cannot be|`mira` would do|Noted: LoRA rank 4|The plan: mira-bike-workshop-1"),
    ("experiment=mira", "Noted: Experiment mira|The plan: mira"),
    ("deploy=no", "only keep the model"),
    ("method=full", "Method"),
    ("cancel", "put aside"),
)

CHANGES: Dialog = (
    ("FILE:identity.jsonl", "in place of `{{name}}`"),
    ("skip", "Only you know what belongs here"),
    ("fill.author=Acme", "Noted: {{author}} Acme|in place of `{{name}}`"),
    ("lr 1e-4, 2 epochs", "Noted: Learning rate 1e-4, Epochs 2|in place of `{{name}}`"),
    ("Best", "Which base model?"),
    ("about=fill.name Nova", "Noted: {{name}} Nova|Which base model?"),
    ("about=fill.name Nova", "answered like this already"),
    ("about=fill.nobody Nova", "closed"),
    ("add my own", "/models add|Which base model?"),
    ("1", "How thorough?"),
    ("start", "identity-1"),
    ("about=review start", "closed"),
)

LANGUAGE: Dialog = (
    ("FILE:identity.jsonl", "in place of `{{name}}`"),
    ("/language zh", "数据里的 `{{name}}` 应该换成什么"),
    ("/language en", "in place of `{{name}}`"),
    ("/finetune", "still open|in place of `{{name}}`"),
    ("Nova", "in place of `{{author}}`"),
    ("返回", "in place of `{{name}}`"),
    ("keep", "in place of `{{author}}`"),
    ("取消", "put aside"),
)

NEW_FILE: Dialog = (
    ("FILE:identity.jsonl", "in place of `{{name}}`"),
    ("Nova", "in place of `{{author}}`"),
    ("FILE:identity.jsonl", "This is the file that the plan already learns from|in place of `{{author}}`"),
    ("FILE:support.jsonl", "Use the new one instead?|Keep identity"),
    ("2", "in place of `{{author}}`"),
    ("FILE:support.jsonl", "Use the new one instead?"),
    ("epochs=3", "Noted: Epochs 3|Use the new one instead?"),
    ("use the new file", "support.jsonl|3 rows cannot be trained"),
    ("FILE:notes.txt", "I cannot use **notes.txt**|3 rows cannot be trained"),
    ("start", "Nothing was started yet; this is still missing: Bad rows|3 rows cannot be trained"),
    ("1", "Which base model?"),
    ("start", "support-1"),
)

DEPLOYING: Dialog = (
    ("/deploy", "Deploy nova-1|Service name|Stays up|Highest LoRA rank"),
    ("service=My_Support", "“My_Support” cannot be a service's name|`my-support` would do|Deploy nova-1"),
    ("service=support, max lora rank 32", "Noted: Service name support, Highest LoRA rank 32|Deploy nova-1"),
    ("rank=1000", "Highest LoRA rank can be from 8 to 512 here|Deploy nova-1"),
    ("what is service name?", "By this name people and programs ask it|Deploy nova-1"),
    ("yes", "support"),
    ("/services", "My services|support|nova-1 on tiny-instruct"),
    ("/deploy nova-1 service=support pinned=yes", "Noted: Stays up yes, always"),
    ("/deploy nova-1 servise=other", "Did you mean `service`?|Deploy nova-1"),
    ("cancel", "Nothing was deployed"),
    ("/undeploy support", "**support** is ended"),
)

DEPLOYING_ZH: Dialog = (
    ("/deploy", "部署 nova-1|服务名称|常驻|最大 LoRA 秩"),
    ("服务名称=客服", "“客服”不能作为服务名称|部署 nova-1"),
    ("服务名称=support，最大LoRA秩 32", "已记下：服务名称 support、最大 LoRA 秩 32|部署 nova-1"),
    ("秩=1000", "最大 LoRA 秩在这里只能是 8 到 512|部署 nova-1"),
    ("服务名称是什么", "人和程序都用这个名称访问它|部署 nova-1"),
    ("好的", "support"),
    ("/services", "我创建的模型服务|support|nova-1，基于 tiny-instruct"),
    ("/deploy nova-1 服务名称=support 常驻=是", "已记下：常驻 是，一直运行"),
    ("/deploy nova-1 表单", "部署 nova-1"),
    ("取消", "没有部署任何模型"),
    ("/undeploy support", "已下线"),
)

DELETING: Dialog = (
    ("FILE:identity.jsonl", "in place of `{{name}}`"),
    ("Nova", "in place of `{{author}}`"),
    ("Acme", "Which base model?"),
    ("1", "How thorough?"),
    ("quick", "The plan: identity-1"),
    ("start", "identity-1"),
    ("/delete", "identity-1 is still under way. `/stop identity-1` stops it first"),
    ("ENDED:identity-1", ""),
    ("/runs", "identity-1|Delete"),
    ("/status identity-1", "identity-1|Delete"),
    ("/delete identiti-1", "Did you mean `identity-1`?"),
    ("/delete identity-1", "Delete **identity-1** for good? This goes:|checkpoints|The data set **identity** stays"),
    ("Keep", "**identity-1** is kept"),
    ("/runs", "identity-1"),
    ("/delete", "Delete **identity-1** for good?"),
    ("yes", "deleted|The data set **identity** stays"),
    ("/runs", "There are no runs yet"),
    ("/datasets", "identity"),
)

DELETING_ZH: Dialog = (
    ("FILE:identity.jsonl", "数据里的 `{{name}}` 应该换成什么"),
    ("小星", "数据里的 `{{author}}` 应该换成什么"),
    ("极光科技", "用哪个基础模型"),
    ("1", "训练到什么程度"),
    ("快速试跑", "计划：identity-1"),
    ("开始", "identity-1"),
    ("/delete identity-1", "identity-1 仍在进行中。请先用 `/stop identity-1` 停止它"),
    ("ENDED:identity-1", ""),
    ("/runs", "identity-1|删除"),
    ("/delete", "要彻底删除 **identity-1** 吗？将会删除：|检查点|数据集 **identity** 会保留"),
    ("不要", "已保留 **identity-1**"),
    ("/delete identity-1 是", "删除|数据集 **identity**"),
    ("/runs", "还没有运行"),
)

ENGLISH = {
    "identity": IDENTITY,
    "support": SUPPORT,
    "without a file": WITHOUT_FILE,
    "changes": CHANGES,
    "either language": LANGUAGE,
    "a new file": NEW_FILE,
    "deploying": DEPLOYING,
    "deleting": DELETING,
}
CHINESE = {"identity": IDENTITY_ZH, "support": SUPPORT_ZH, "deploying": DEPLOYING_ZH, "deleting": DELETING_ZH}


def typed(dialog: Dialog) -> Dialog:
    """The dialog for a face on which buttons of earlier questions cannot be pressed any more."""
    return tuple(step for step in dialog if not step[0].startswith("about="))
