"""
The practice shop: a simulated shop of any size and age whose truth is known.

`load.simulate` fills schema `shop` with all entities of the source contract, `practice_shop.grow` adds days to it, and
grown or made in one go it is the same, row for row. It may also answer to what is published: then that decides who is
contacted. What is behind the rows is in schema `truth`, which the pipeline cannot read; `expected.customers_on` tells
what was to be expected of each customer on any day.

In the order of the flow:

    settings, latent_types     what a shop is made from; the types of customers and the strategies of campaigns
    draws, clock               random numbers as a function of what they are for; times and seasons
    population, catalogue      who the customers are; what is on the shelves
    campaigns, purchases       who is contacted and what that changes; when customers order and when they are lost
    answers                    the campaigns of a shop that does what `marketing.customer_segments` says
    baskets, stock             what is in the orders and what becomes of them; what is left in the storeroom
    browsing, service          sessions and events; support tickets
    rows, customers, columns   all that as the shop's tables would show it at a time
    simulation                 puts these together, one block of four weeks and chunk of customers at a time
    truth_tables, writing      schema `truth`; the rows into the database
    practice_shop, command     create and grow; `make simulate`
    expected                   what is to be expected of each customer on a day
"""
