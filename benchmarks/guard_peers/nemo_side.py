"""NeMo Guardrails checking exchanges by itself asking a served model, in its own environment; told
what to check by `compare.py`.

The rails are those of its bundled example bot, as they are but for the bot's model.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from importlib.resources import files

import yaml

os.environ["OPENAI_API_KEY"] = "none"

from nemoguardrails import LLMRails, RailsConfig
from nemoguardrails.rails.llm.options import RailStatus

settings = json.loads(sys.argv[1])
bundled = files("nemoguardrails").joinpath("examples", "bots", "abc", "prompts.yml")
prompts = yaml.safe_load(bundled.read_text(encoding="utf-8"))["prompts"]
config = {
    "models": [
        {
            "type": "main",
            "engine": "openai",
            "model": settings["model"],
            "parameters": {"base_url": settings["url"]},
        }
    ],
    # The answer is a yes or a no.
    "prompts": [{**one, "max_tokens": 3} for one in prompts],
    "rails": {
        "input": {"flows": ["self check input"]},
        "output": {"flows": ["self check output"]},
    },
}
rails = LLMRails(RailsConfig.from_content(yaml_content=yaml.safe_dump(config)))
print("ready", version("nemoguardrails"), flush=True)
for line in sys.stdin:
    messages = json.loads(line)
    began = time.perf_counter()
    found = rails.check(messages)
    seconds = time.perf_counter() - began
    print("done", json.dumps([found.status == RailStatus.BLOCKED, seconds]), flush=True)
