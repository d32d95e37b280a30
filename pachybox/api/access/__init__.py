"""Who may ask for what: one rule under every door.

    door -> Access (who is it?) -> Policy (may it?) -> handler -> Policy (what may it see?)

``principal`` says what a caller is, ``tokens`` keeps those that were made, ``needs`` is the one
table of what each method and door wants, ``policy`` applies it, ``sight`` takes out of answers what
a caller bound to repos may not see, ``audit`` writes down who did what.
"""

from pachybox.api.access.callers import Access, require_closed, token_of

__all__ = ["Access", "require_closed", "token_of"]
