"""What `transformers` makes of a chat template and an input: the truth the interpreter is held to."""
import datetime
import json

from transformers.utils import chat_template_utils

# 2024-07-26 12:00:00 UTC: the date is the same in nearly every time zone.
NOW = 1721995200


class _FixedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, tz)


def render(template, case, fixed_now=True):
    """The rendering, or the exception that refused it."""
    kwargs = dict(case.get("variables", {}))
    for token in ("bos_token", "eos_token"):
        if case.get(token) is not None:
            kwargs[token] = case[token]
    real = chat_template_utils.datetime
    chat_template_utils.datetime = _FixedDatetime if fixed_now else real
    try:
        rendered, _ = chat_template_utils.render_jinja_template(
            conversations=[json.loads(json.dumps(case.get("messages", [])))],
            tools=case.get("tools"),
            chat_template=template,
            add_generation_prompt=case.get("add_generation_prompt", True),
            **kwargs,
        )
        return rendered[0]
    except Exception as error:  # templates may raise anything Python can
        return error
    finally:
        chat_template_utils.datetime = real
