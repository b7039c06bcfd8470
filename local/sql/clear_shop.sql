-- Empties the practice shop and what its loader wrote. DELETE, not TRUNCATE: until this transaction is committed
-- readers see the old shop, without waiting.
delete from shop.campaign_contacts;
delete from shop.campaigns;
delete from shop.support_tickets;
delete from shop.events;
delete from shop.order_items;
delete from shop.orders;
delete from shop.products;
delete from shop.customers;
delete from quarantine.rows
where source in (select loads.source from quarantine.loads);
delete from quarantine.loads;
