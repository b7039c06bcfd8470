"""
A sample of customers that is the same each time and in each engine: those whose id's MD5 sum is below a text.
"""

EVERYONE = "g"  # above every MD5


def below(share: float) -> str:
    """The hexadecimal text that such a share of all MD5 sums is below.

    >>> below(0.25), below(2)
    ('4000000', 'g')
    """
    return EVERYONE if share >= 1 else f"{int(share * 16**7):07x}"
