"""The engine's events of one or more previews, told in one comment of a pull request.

Reads what `pulumi preview` reported (`events`), hides what may be secret (`redact`), finds what a change means
(`changes`, `callouts`, `costs`), writes Markdown (`environment`, `comment`), and puts it on the pull request
(`github`). Holds no rules about what may be deployed: the program and the policy pack judge.
"""
