"""garak's local generator on some prompts, in garak's own environment; timed by `compare.py`."""

import json
import sys
from importlib.metadata import version

import garak._config as config
import torch
from garak.attempt import Conversation, Message, Turn

settings = json.loads(sys.argv[1])
config.load_config()
config.run.seed = 0
config.plugins.generators["huggingface"] = {
    "Pipeline": {
        "max_tokens": settings["tokens"],
        "temperature": None,
        "hf_args": {"torch_dtype": "float32", "do_sample": False, "device": "cpu"},
    }
}
from garak.generators.huggingface import Pipeline  # noqa: E402  it reads the settings above

generator = Pipeline(settings["model"])
generator.generator.generation_config.do_sample = False
assert generator.generator.model.dtype == torch.float32
asked = [Conversation([Turn("user", Message(text))]) for text in settings["prompts"]]
print("ready", version("garak"), flush=True)
for _ in sys.stdin:
    answers = [generator.generate(one, generations_this_call=1) for one in asked]
    assert all(answer[0] is not None for answer in answers)
    print("done", len(answers), flush=True)
