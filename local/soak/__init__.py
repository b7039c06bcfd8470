"""`make soak`: a season of a shop's life, a day after the other, to see what grows that should not.

A simulated shop lives on day by day; every day has its daily run and its evaluation of campaigns, every seventh its
training and its classification of products, every fourth week its policy is learnt. Orders and sessions come late, two
columns are added to the shop's tables on the way, a person is erased every week, and nobody answers when a training
asks. Trainings are quick: the same kinds of models, by fewer tries. After each day everything that could grow is
measured; at the end it is held against how the shop's own data have grown, the segments against those of the week
before, and what came true of the scores against what had been promised.

The tasks' functions run in processes of their own, without Airflow (see `local.stages`): 13 weeks took 76 minutes.
What is kept for a time goes by the clock in some places, so after each day all that was written is made a day older.

    local.soak.course      the days and what happens on them
    local.soak.measures    what is measured after each
    local.soak.page        docs/soak.md
"""
